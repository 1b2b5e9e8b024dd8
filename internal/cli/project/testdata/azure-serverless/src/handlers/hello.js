module.exports.sayHello = async (context, req) => ({ body: 'hi' });
