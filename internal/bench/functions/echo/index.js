'use strict';
// Gives back the event as it is: what counts is the way there and back.
exports.handler = async (event) => event;
