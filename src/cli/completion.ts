import { type Command, UsageError } from "./command.ts";

const program = "fullon-cache-api";

/** A word that can come next, and what it is for. */
interface Word {
  readonly word: string;
  readonly about: string;
}

/** What can follow the name of a command. */
interface Completed extends Word {
  readonly flags: readonly (Word & { readonly takesValue: boolean; readonly words: readonly string[] })[];
  readonly words: readonly string[];
}

/** Text in single quotes, as all of these shells take it; fish knows `\'`, the others end and begin again. */
const quoted = (text: string, apostrophe = "'\\''") => `'${text.replaceAll("'", apostrophe)}'`;

function bash(commands: readonly Completed[]): string {
  const cases = commands.map(({ word, flags, words }) => {
    const values = flags.filter((flag) => flag.takesValue);
    const withWords = values
      .filter((flag) => flag.words.length > 0)
      .map((flag) => `${word}:${flag.word}) words=${quoted(flag.words.join(" "))} ;;`);
    const free = values.filter((flag) => flag.words.length === 0).map((flag) => `${word}:${flag.word}`);
    return [
      ...withWords,
      ...(free.length === 0 ? [] : [`${free.join("|")}) return ;;`]),
      `${word}:*) words=${quoted([...words, ...flags.map((flag) => flag.word)].join(" "))} ;;`,
    ];
  });
  return `# Completion of ${program} for bash: eval "$(${program} completion bash)"
_fullon_cache_api() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    words=${quoted(commands.map(({ word }) => word).join(" "))}
  else
    case "\${COMP_WORDS[1]}:$before" in
${cases
  .flat()
  .map((line) => `      ${line}`)
  .join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _fullon_cache_api ${program}`;
}

function zsh(commands: readonly Completed[]): string {
  // In a description of _arguments, a colon or a bracket would end it.
  const escaped = (text: string) => text.replaceAll(/[\\:[\]]/g, "\\$&");
  const specs = ({ flags, words }: Completed) => [
    ...flags.map(({ word, about, takesValue, words }) => {
      const value = takesValue ? `:value:${words.length > 0 ? `(${words.join(" ")})` : "_default"}` : "";
      return `*${word}[${escaped(about)}]${value}`;
    }),
    ...(words.length > 0 ? [`1:word:(${words.join(" ")})`] : []),
  ];
  const cases = commands.map(
    (command) =>
      `    ${command.word}) _arguments ${specs(command)
        .map((spec) => quoted(spec))
        .join(" ")} ;;`,
  );
  return `#compdef ${program}
# Completion of ${program} for zsh: eval "$(${program} completion zsh)"
_fullon_cache_api() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${commands.map(({ word, about }) => `      ${quoted(`${word}:${about.replaceAll(":", "\\:")}`)}`).join("\n")}
    )
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join("\n")}
  esac
}
compdef _fullon_cache_api ${program}`;
}

function fish(commands: readonly Completed[]): string {
  const text = (about: string) => quoted(about.replaceAll("\\", "\\\\"), "\\'");
  const lines = commands.flatMap(({ word, about, flags, words }) => {
    const after = `complete -c ${program} -n '__fish_seen_subcommand_from ${word}'`;
    return [
      `complete -c ${program} -f -n __fish_use_subcommand -a ${word} -d ${text(about)}`,
      ...(words.length > 0 ? [`${after} -f -a '${words.join(" ")}'`] : []),
      ...flags.map(({ word, about, takesValue, words }) => {
        const value = takesValue ? (words.length > 0 ? ` -x -a '${words.join(" ")}'` : " -r") : "";
        return `${after} -l ${word.slice(2)}${value} -d ${text(about)}`;
      }),
    ];
  });
  return [`# Completion of ${program} for fish: ${program} completion fish | source`, ...lines].join("\n");
}

const shells = { bash, zsh, fish };

function completed(word: string, { about, flags, words = [] }: Command): Completed {
  const all: Command["flags"] = { ...flags, help: { about: "what it is for and what it takes" } };
  return {
    word,
    about,
    words,
    flags: Object.entries(all).map(([flag, { about, value, words = [] }]) => ({
      word: `--${flag}`,
      about,
      takesValue: value !== undefined,
      words,
    })),
  };
}

/** Prints what has a shell complete commands and flags. */
export const completion: Command = {
  about: "Prints a script that has your shell complete commands and flags.",
  takes: "<bash|zsh|fish>",
  words: Object.keys(shells),
  flags: {},
  examples: () => [
    ["completion bash >> ~/.bashrc", 'or: eval "$(fullon-cache-api completion bash)"'],
    ["completion fish > ~/.config/fish/completions/fullon-cache-api.fish"],
  ],
  async run({ words: [shell = "", ...rest] }, { out }) {
    const script = Object.hasOwn(shells, shell) ? shells[shell as keyof typeof shells] : undefined;
    if (!script || rest.length > 0)
      throw new UsageError(`say for which shell: ${Object.keys(shells).join(", ")}; completion --help has an example`);
    const { allCommands } = await import("./commands.ts");
    const { own, operations } = await allCommands();
    out(script([...own, ...operations].map(([name, command]) => completed(name, command))));
  },
};
