exports.handler = async (event, context) => {
  console.log("seen", JSON.stringify(event));
  if (event.fail) throw new RangeError("out of range");
  return { event, custom: context.clientContext && context.clientContext.custom, step: process.env.STEP };
};
