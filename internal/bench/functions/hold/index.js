// Takes its time, so that what is queued behind it stays queued.
exports.handler = () => new Promise((resolve) => setTimeout(resolve, 850_000));
