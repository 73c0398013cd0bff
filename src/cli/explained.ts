/** What went wrong, as one sentence for whoever typed the command. */
export function explained(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, address, port, hostname } = error as NodeJS.ErrnoException & {
    readonly address?: string;
    readonly port?: number;
    readonly hostname?: string;
  };
  if (code === "EADDRINUSE")
    return `port ${port} on ${address} is taken: choose another with --port or PORT; 0 takes a free one`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
    return `${address ?? hostname} cannot be listened on: --host must be an address of this machine`;
  return error.message;
}
