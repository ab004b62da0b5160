import { createSocket } from "node:dgram";
import { once } from "node:events";
import { Resolver } from "node:dns/promises";
import { isIPv6 } from "node:net";

/** What a name server says of a name when it is asked for the first time, the second, and so on; the last for ever. */
export type Zone = Record<string, readonly (readonly string[] | "no such name" | "failure" | "silence")[]>;

const typeOf = (address: string) => (isIPv6(address) ? 28 : 1);

/** The bytes of an address; of IPv6 as eight groups, or with :: in between. */
function bytesOf(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split(".").map(Number));
  const [first = [], last = []] = new URL(`http://[${address}]`).hostname
    .slice(1, -1)
    .split("::")
    .map((part) => part.split(":").filter((group) => group !== ""));
  const groups = [...first, ...Array<string>(8 - first.length - last.length).fill("0"), ...last];
  return Buffer.from(groups.map((group) => group.padStart(4, "0")).join(""), "hex");
}

function record(address: string): Buffer {
  const head = Buffer.alloc(12);
  const bytes = bytesOf(address);
  head.writeUInt16BE(0xc00c, 0); // the name that was asked for
  head.writeUInt16BE(typeOf(address), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(bytes.length, 10);
  return Buffer.concat([head, bytes]);
}

/** A name server on loopback, and who asks it. It tells addresses of both kinds together, in the row of one query. */
export async function startNameServer(zone: Zone) {
  const socket = createSocket("udp4");
  const asked = new Map<string, number>();
  socket.on("message", (query, { port, address: from }) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString("latin1", at + 1, at + 1 + length));
      at += length + 1;
    }
    const question = query.subarray(12, at + 5);
    const type = query.readUInt16BE(at + 1);
    const name = labels.join(".").toLowerCase();
    const times = asked.get(`${name} ${type}`) ?? 0;
    asked.set(`${name} ${type}`, times + 1);
    const said = zone[name]?.[Math.min(times, zone[name].length - 1)] ?? "no such name";
    if (said === "silence") return;
    const records = typeof said === "string" ? [] : said.filter((each) => typeOf(each) === type).map(record);
    const head = Buffer.from(query.subarray(0, 12));
    const code = { "no such name": 3, failure: 2 }[String(said)] ?? 0;
    head.writeUInt16BE(0x8180 | code, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt32BE(0, 8);
    socket.send(Buffer.concat([head, question, ...records]), port, from);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const nameServers = new Resolver({ timeout: 300, tries: 1 });
  nameServers.setServers([`127.0.0.1:${socket.address().port}`]);
  return {
    nameServers,
    async [Symbol.asyncDispose]() {
      nameServers.cancel();
      socket.close();
      await once(socket, "close");
    },
  };
}
