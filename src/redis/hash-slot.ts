/** CRC-16/XMODEM, the checksum that Redis Cluster spreads keys by. */
const crcOfByte = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc;
});

/** The slot of every key with that hash tag (Redis Cluster specification, "Key distribution model"). ASCII. */
export function slotOfTag(tag: string): number {
  let crc = 0;
  for (let index = 0; index < tag.length; index += 1) {
    crc = ((crc << 8) & 0xffff) ^ (crcOfByte[(crc >> 8) ^ (tag.charCodeAt(index) & 0xff)] ?? 0);
  }
  return crc & 0x3fff;
}
