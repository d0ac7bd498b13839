import { createServer } from 'node:http';

/**
 * The model server of the benchmark: answers at once, always the same.
 *
 *     node upstream.js PORT
 */
const answer = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    model: 'llama',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hello.' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 },
  }),
);
const headers = { 'content-type': 'application/json', 'content-length': String(answer.length) };
createServer((request, response) => {
  request.resume();
  response.writeHead(200, headers).end(answer);
}).listen(Number(process.argv[2]), '127.0.0.1');
