/** Text that is HTML already. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Content = string | number | Html | readonly Html[];

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function textOf(content: Content): string {
  if (content instanceof Html) return content.text;
  if (typeof content === "object") return content.map(({ text }) => text).join("");
  return String(content).replace(/[&<>"']/g, (character) => escapes[character] ?? "");
}

/** A template of HTML: what is put into it is escaped, unless it is HTML itself. */
export function html(parts: TemplateStringsArray, ...contents: readonly Content[]): Html {
  return new Html(parts.map((part, at) => (at === 0 ? part : textOf(contents[at - 1] as Content) + part)).join(""));
}
