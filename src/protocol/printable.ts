// Whatever a terminal could take for more than text: control characters, the ends of lines among them, signs that change
// the direction of what follows or are not seen at all, and halves of characters.
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

function escaped(sign: string): string {
  let text = "";
  for (let at = 0; at < sign.length; at++) text += `\\u${sign.charCodeAt(at).toString(16).padStart(4, "0")}`;
  return text;
}

/**
 * Text as a terminal can show it: what would do something else there stands as `\u001b`. JSON on one line means the same
 * before and after.
 */
export function printable(text: string): string {
  return text.replace(hidden, escaped);
}
