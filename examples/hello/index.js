// A function like many: it prepares something large once, computes a little, and
// mostly waits for somebody else. It tells which instance served it, and as its
// how-manyeth invocation, so that one can see who shares an instance with whom.
'use strict';

const { randomUUID } = require('node:crypto');
const { setTimeout: wait } = require('node:timers/promises');

// Init: happens once per instance. Ten million numbers stand for the libraries,
// tables and connections that real functions set up: about 80 MB.
const instance = process.env.HEARTH_INSTANCE_ID || randomUUID();
const numbers = new Array(1e7);
for (let i = 0; i < numbers.length; i++) numbers[i] = i;

let invocations = 0;

exports.handler = async (event) => {
  const invocation = ++invocations; // taken before the first await: others may come in between
  console.log(`invocation ${invocation} begins`);

  let sum = 0;
  for (const n of numbers) sum += n; // some CPU: nobody else can run meanwhile

  await wait(Number(event?.waitMs ?? 2000)); // stands for a database: others run meanwhile

  console.log(`invocation ${invocation} ends`);
  return { instance, invocation, sum, hello: event?.name ?? 'world' };
};
