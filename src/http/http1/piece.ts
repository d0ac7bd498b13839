/** What came by one read of the socket, and how far it has been read. */
export interface Piece {
  readonly bytes: Buffer;
  at: number;
}
