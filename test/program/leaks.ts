/** Any 16 characters of a signature hold one of these whole. */
const pieceLength = 8;

/** What must be found nowhere: of a signed token any piece of its signature, any other whole. */
function piecesOf(token: string): readonly string[] {
  const signature = token.split('.')[2] ?? '';
  const count = Math.floor(signature.length / pieceLength);
  if (count < 2) return [token];
  return Array.from({ length: count }, (_, at) => signature.slice(at * pieceLength, (at + 1) * pieceLength));
}

/** Where in a text a piece of some token stands, with what is around it. */
export function leaks(text: string, tokens: Iterable<string>): readonly string[] {
  return [...tokens].flatMap((token) => {
    const at = piecesOf(token)
      .map((piece) => text.indexOf(piece))
      .find((found) => found >= 0);
    return at === undefined ? [] : [text.slice(Math.max(0, at - 200), at + 40)];
  });
}
