import { readFileSync } from "node:fs";
import { type AccountMap, type Accounts, identityAccounts, mappedAccounts } from "../operations/account-map.ts";
import { isObject } from "../redis/values.ts";
import { SettingError } from "./settings.ts";

/** The accounts that a file maps, or the identity where there is no file. @throws SettingError the file is wrong */
export function readAccounts(path: string | undefined): Accounts {
  if (path === undefined) return identityAccounts;
  let map: unknown;
  try {
    map = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new SettingError(`ACCOUNTS_FILE: ${JSON.stringify(path)} cannot be read: ${(error as Error).message}`);
  }
  if (!isAccountMap(map))
    throw new SettingError(
      `ACCOUNTS_FILE: ${JSON.stringify(path)} must hold users with their accounts, like {"1001": {"binance": 12}}`,
    );
  return mappedAccounts(map);
}

function isAccountMap(value: unknown): value is AccountMap {
  const isAccount = (exId: unknown) => (typeof exId === "string" && exId !== "") || Number.isSafeInteger(exId);
  return (
    isObject(value) && Object.values(value).every((user) => isObject(user) && Object.values(user).every(isAccount))
  );
}
