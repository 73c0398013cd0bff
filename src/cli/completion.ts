import { type Command, shownFlags, UsageError } from "./command.ts";

const program = "fullon-cache-api";

/** A flag that can come next, and what it is for. */
interface CompletedFlag {
  readonly name: string;
  readonly about: string;
  readonly takesValue: boolean;
}

/** A command, and what can follow its name. */
interface Completed {
  readonly name: string;
  readonly about: string;
  readonly flags: readonly CompletedFlag[];
  readonly words: readonly string[];
}

/** Text in single quotes, as all of these shells take it; fish knows `\'`, the others end and begin again. */
const quoted = (text: string, apostrophe = "'\\''") => `'${text.replaceAll("'", apostrophe)}'`;

function bash(commands: readonly Completed[]): string {
  const cases = commands.flatMap(({ name, flags, words }) => {
    const withValue = flags.filter(({ takesValue }) => takesValue).map((flag) => `${name}:--${flag.name}`);
    const all = [...words, ...flags.map((flag) => `--${flag.name}`)];
    return [
      ...(withValue.length > 0 ? [`${withValue.join("|")}) return ;;`] : []),
      `${name}:*) words=${quoted(all.join(" "))} ;;`,
    ];
  });
  return `# Completion of ${program} for bash: eval "$(${program} completion bash)"
_fullon_cache_api() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words=${quoted(commands.map(({ name }) => name).join(" "))}
  else
    case "\${COMP_WORDS[1]}:$before" in
${cases.map((line) => `      ${line}`).join("\n")}
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
    ...flags.map(
      ({ name, about, takesValue }) => `*--${name}[${escaped(about)}]${takesValue ? ":value:_default" : ""}`,
    ),
    words.length > 0 ? `1:word:(${words.join(" ")})` : "*:word:_default",
  ];
  const cases = commands.map(
    (one) =>
      `    ${one.name}) _arguments ${specs(one)
        .map((spec) => quoted(spec))
        .join(" ")} ;;`,
  );
  return `#compdef ${program}
# Completion of ${program} for zsh, after compinit: eval "$(${program} completion zsh)"
_fullon_cache_api() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${commands.map(({ name, about }) => `      ${quoted(`${name}:${about.replaceAll(":", "\\:")}`)}`).join("\n")}
    )
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT -= 1 ))
  case $command in
${cases.join("\n")}
  esac
}
if [ "$funcstack[1]" = _fullon_cache_api ]; then _fullon_cache_api "$@"; else compdef _fullon_cache_api ${program}; fi`;
}

function fish(commands: readonly Completed[]): string {
  const text = (about: string) => quoted(about.replaceAll("\\", "\\\\"), "\\'");
  const lines = commands.flatMap(({ name, about, flags, words }) => {
    const after = `complete -c ${program} -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c ${program} -f -n __fish_use_subcommand -a ${name} -d ${text(about)}`,
      ...(words.length > 0 ? [`${after} -f -a '${words.join(" ")}'`] : []),
      ...flags.map((flag) => `${after} -l ${flag.name}${flag.takesValue ? " -r" : ""} -d ${text(flag.about)}`),
    ];
  });
  return [`# Completion of ${program} for fish: ${program} completion fish | source`, ...lines].join("\n");
}

const shells = { bash, zsh, fish };

function completed(name: string, { about, flags, words = [] }: Command): Completed {
  const all: Command["flags"] = { ...flags, help: { about: "what it is for and what it takes" } };
  const known = shownFlags(all).map(([flag, { about, value }]) => ({
    name: flag,
    about,
    takesValue: value !== undefined,
  }));
  return { name, about, words, flags: known };
}

/** Prints what has a shell complete commands and flags. */
export const completion: Command = {
  about: "Prints a script that has your shell complete commands and flags.",
  takes: "<bash|zsh|fish>",
  words: Object.keys(shells),
  flags: {},
  examples: () => [
    [`completion bash >> ~/.bashrc`],
    [`completion zsh >> ~/.zshrc`, "after compinit"],
    [`completion fish > ~/.config/fish/completions/${program}.fish`],
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
