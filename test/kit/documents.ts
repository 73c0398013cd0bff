import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

interface Block {
  readonly language: string;
  readonly text: string;
}

function allBlocks(document: string): Block[] {
  const found = readFileSync(document, "utf8").matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm);
  return [...found].map(([, language = "", text = ""]) => ({ language, text }));
}

/** The blocks of code of one language in a document; "" are those of none. */
export function blocks(document: string, language: string): string[] {
  return allBlocks(document).flatMap((block) => (block.language === language ? [block.text] : []));
}

/** A program that stands in a document. */
export interface DocumentProgram {
  /** What its file is called: the document, and where in it the program stands. */
  readonly name: string;
  readonly text: string;
  /** What the document shows of its output: the lines of the block after it, if that one is of no language. */
  readonly output: readonly string[];
}

/** The programs of one language in a document, in their order. */
export function programsIn(document: string, language = "ts"): DocumentProgram[] {
  const stem = basename(document, ".md").toLowerCase();
  const all = allBlocks(document);
  return all
    .map(({ text }, at) => ({ text, output: all[at + 1]?.language === "" ? lines(all[at + 1]?.text ?? "") : [], at }))
    .filter(({ at }) => all[at]?.language === language)
    .map(({ text, output }, at) => ({ name: `${stem}-${at + 1}.${language}`, text, output }));
}

const lines = (text: string) => text.trimEnd().split("\n");

/**
 * Makes a folder in which programs import this package by its name, from the sources of a checkout.
 * @param compilerOptions what is different from the options of the checkout
 */
export function makeProgramFolder(folder: string, checkout: string, compilerOptions: object = {}): void {
  mkdirSync(folder, { recursive: true });
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const entries = ["index.ts", "client/index.ts", "server/index.ts"].map((path) => [
    join("fullon-cache-api", dirname(path)),
    [resolve(checkout, "src", path)],
  ]);
  const config = {
    extends: resolve(checkout, "tsconfig.json"),
    compilerOptions: { ...compilerOptions, paths: Object.fromEntries(entries) },
    include: ["*.ts", "*.tsx"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
}
