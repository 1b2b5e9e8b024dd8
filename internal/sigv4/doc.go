// Package sigv4 signs HTTP requests and checks signatures as AWS's Signature Version 4
// says ("Create a signed AWS API request" in the IAM user guide), in the form that all
// services but S3 use: the path is encoded once more than it was sent. Signatures are in
// headers or, presigned, in the query string. Nothing in here keeps state or blocks.
package sigv4
