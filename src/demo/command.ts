/** One Redis command, its name first. */
export type Command = readonly [name: string, ...parameters: string[]];
