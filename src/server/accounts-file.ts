import { type AccountMap, type Accounts, mappedAccounts } from "../operations/account-map.ts";
import { isObject } from "../redis/values.ts";
import { readJsonFile } from "./files.ts";
import { SettingError } from "./settings.ts";

/** The accounts that an operator's file maps. @throws SettingError the file is wrong */
export function readAccounts(path: string): Accounts {
  const map = readJsonFile("ACCOUNTS_FILE", path);
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
