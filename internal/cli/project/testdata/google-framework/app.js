exports.greet = (req, res) => res.send("hi");
