module.exports = { hello(event, context) { return event.data; } };
