'use strict';
// The function of seed 000 in small: a heavy init, some work, a long wait.
const numbers = new Array(2_000_000);
for (let i = 0; i < numbers.length; i++) numbers[i] = i;
let invocations = 0;

exports.handler = async () => {
  const invocation = ++invocations;
  let sum = 0;
  for (const n of numbers) sum += n;
  await new Promise((resolve) => setTimeout(resolve, 2000));
  return { instance: process.env.HEARTH_INSTANCE_ID, invocation, sum };
};
