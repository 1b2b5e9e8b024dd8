// Package meter bills the use of instances under several vendors' rules, so that the
// execution models can be compared by what they would cost.
//
// An Instance notes when executions begin and end and sums up what all rules need, in
// constant memory. A Rule turns such a Usage into a Bill: GB-seconds, seconds, CPU
// seconds and requests. Money appears only when somebody names rates.
//
// The rules, with their sources. One GB is 1,024 MB.
//
//   - lambda-2018: each execution for itself, its duration rounded up to 100 ms, times
//     the configured memory; plus requests. Init is free. (seed 001, "AWS Lambda")
//   - lambda: the same rounded up to 1 ms (AWS, December 2020), and the init counts
//     towards the first execution (AWS Compute Blog, "AWS Lambda standardizes billing
//     for INIT Phase", from August 2025).
//   - azure-consumption: a merged window, from the start of the first overlapping
//     execution to the end of the last, counts once, at least 100 ms, times the memory
//     that is used, rounded up to 128 MB. (seed 001, "Azure Functions"; the published
//     FAQ of the Consumption plan says the same of a single execution.) The real one
//     samples memory over time; here it is the high-water mark, so never less.
//   - binaris: merged windows rounded up to 1 ms, no minimum, at a flat rate as for
//     1 GB, whatever the instance has. (seed 001, "Configuring Concurrency")
//   - active-cpu: CPU seconds that were really used, and the configured memory over the
//     instance's life, from its start, init included, until its last execution ends.
//     (Vercel, "Fluid compute pricing": active CPU, provisioned memory, invocations)
package meter
