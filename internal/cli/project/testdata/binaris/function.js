exports.handler = async (body, ctx) => body;
