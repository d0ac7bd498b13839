import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

/**
 * The floor of an HTTP hop: node:http as it comes, and one constant answer, the status and headers that tiergate's HTTP door
 * gave to the same request.
 *
 *     node floor-http.js PORT-OR-SOCKET ANSWER-FILE
 */
const [place = '0', answerFile = ''] = process.argv.slice(2);
const { status, headers } = JSON.parse(readFileSync(answerFile, 'utf8')) as {
  readonly status: number;
  /** Names and values by turns. */
  readonly headers: string[];
};
const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
  request.resume();
  response.writeHead(status, headers).end();
});
server.listen(/^\d+$/.test(place) ? { port: Number(place), host: '127.0.0.1' } : { path: place });
