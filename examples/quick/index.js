exports.handler = async (event) => ({ hello: event.name ?? 'world' });
