import { compileCheck } from "/work/main/src/operations/check.ts";
import { Exchange, Id, Limit } from "/work/main/src/operations/fields.ts";
import { parsePython, seconds } from "/work/main/src/redis/values.ts";
import { Type } from "typebox";
const c = compileCheck({ exchange: Exchange, user_id: Type.Optional(Id("u")), limit: Type.Optional(Limit) , symbols: Type.Optional(Type.Array(Exchange,{minItems:1,maxItems:3}))});
const t = (v: unknown) => console.log(JSON.stringify(v)?.slice(0,80), "=>", JSON.stringify(c(v)));
t({exchange:"a"}); t({exchange:"🚀"}); t({exchange:"\ud800"}); t({exchange:"🚀".repeat(256)}); t({exchange:"🚀".repeat(257)}); t({exchange:"e"+"\u0301".repeat(1000)});
t({exchange:"a".repeat(257)}); t({exchange:""}); t({exchange:"a\nb"}); t({exchange:"a\r\nb\0"}); t(JSON.parse('{"exchange":"a","__proto__":1}')); t(JSON.parse('{"__proto__":{"exchange":"a"}}'));
t({exchange:"a",user_id:1e21}); t({exchange:"a",user_id:1.5}); t({exchange:"a",user_id:null}); t({exchange:"a",limit:0}); t({exchange:"a",limit:"5"}); t({exchange:"a",symbols:[]}); t({exchange:"a",symbols:["a",1]}); t({exchange:"a",symbols:["a","",'b']});t({exchange:"a",symbols:["a","b",'b','c']});
t({exchange:undefined}); t([]); t(null); t("x"); t({constructor:1, exchange:"a"});t({});t({toString:"x"});
t({exchange:["a"]}); t({exchange:{length:1}});
for (const n of [1e5, 2e5]) { const bad = '{"a": NaN, "b": "' + '\\"'.repeat(n); const s = performance.now(); try { parsePython(bad) } catch (e) {} console.log(n, performance.now()-s); }
for (const n of [1e6, 1e7, 3e7]) { const s = performance.now(); try { console.log((parsePython('{"a": NaN, "b": "' + 'x'.repeat(n)+'"}') as any).b.length) } catch (e) {console.log(String((e as any).cause))} console.log(n, performance.now()-s); }
console.log(seconds("1969-12-31T23:59:58.500000+00:00"), seconds("2026-02-30T00:00:00Z"), seconds("0001-01-01T00:00:00"), seconds("2026-11-22T07:02:40.123300+05:30"));
console.log(parsePython('{12345678901234567890: 1}'));
