-- One request after the other out of a file: blocks that are separated by a line with only "--". The first argument after
-- wrk's own is the file. At the end a line of JSON with what wrk has counted; times in microseconds.
local requests = {}
local at = 0

function init(args)
  local block = {}
  for line in io.lines(args[1]) do
    if line == "--" then
      requests[#requests + 1] = table.concat(block, "\r\n")
      block = {}
    else
      block[#block + 1] = line
    end
  end
  -- Connections are spread over threads; each thread begins elsewhere.
  math.randomseed(os.time())
  at = math.random(#requests)
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"refused":%d,"failed":%d,"p50":%d,"p90":%d,"p99":%d,"p999":%d}\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9)
  ))
end
