/** `password` is most of `passwordFile`; `t` is most of nothing. */
const minPrefix = 4;

/** The known word that was probably meant, or undefined if none is near: other case, other separators, its beginning, a typing slip. */
export function nearestWord(written: string, known: readonly string[]): string | undefined {
  const plain = normalised(written);
  const longer = known.find((word) => plain.length >= minPrefix && normalised(word).startsWith(plain));
  if (longer !== undefined) return longer;
  let nearest: string | undefined;
  // A third of the letters may be wrong, at most 3: beyond that a suggestion is noise.
  let best = Math.min(3, Math.floor(plain.length / 3)) + 1;
  for (const word of known) {
    const distance = editDistance(plain, normalised(word));
    if (distance < best) {
      best = distance;
      nearest = word;
    }
  }
  return nearest;
}

function normalised(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, '');
}

/** Optimal string alignment: insert, delete, replace, swap neighbours. */
function editDistance(a: string, b: string): number {
  let beforeLast: readonly number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let distance = Math.min(cell(last, j) + 1, cell(row, j - 1) + 1, cell(last, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, cell(beforeLast, j - 2) + 1);
      }
      row.push(distance);
    }
    beforeLast = last;
    last = row;
  }
  return cell(last, b.length);
}

function cell(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
