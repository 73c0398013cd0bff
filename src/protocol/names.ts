/** A wire name turned into the name of a client's method: `get_ticker` → `getTicker`. */
export type MethodName<Wire extends string> = Wire extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<MethodName<Tail>>}`
  : Wire;

/** A method's name turned into its name on the wire: `getTicker` → `get_ticker`. */
export type WireName<Method extends string> = Method extends `${infer First}${infer Rest}`
  ? First extends Lowercase<First>
    ? `${First}${WireName<Rest>}`
    : `_${Lowercase<First>}${WireName<Rest>}`
  : Method;

/** The name on the wire of a client's method or argument: `getTicker` → `get_ticker`. */
export function wireName<Method extends string>(method: Method): WireName<Method> {
  return method.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) as WireName<Method>;
}

/** The client's name of an operation or a parameter: `get_ticker` → `getTicker`. */
export function methodName<Wire extends string>(wire: Wire): MethodName<Wire> {
  return wire.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) as MethodName<Wire>;
}

/** The command or the flag of an operation or a parameter, by its name on the wire: `get_ticker` → `get-ticker`. */
export function commandName(wire: string): string {
  return wire.replaceAll("_", "-");
}
