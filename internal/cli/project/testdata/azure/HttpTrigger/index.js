module.exports = async (context, req) => { context.res = { body: process.env.GREETING }; };
