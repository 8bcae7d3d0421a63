// A batch of jobs in the file: one header, and its jobs as chunks of an array that says each one as
// what differs from the first. Chunks are written before the header, each in a transaction of its
// own if need be; the header makes them count, so readers see all or nothing. The chunks go when
// each job has a row of its own. Writers' functions run as writes.h says, readers' on the loop.
#pragma once

#include <string>
#include <vector>

#include "store/sqlite.h"
#include "store/store.h"
#include "store/writes.h"

namespace polysome::batch_records {

// The jobs as texts of about 1,000 each, and the job they are told against.
struct Encoded {
  std::string base;
  std::uint64_t first_sequence = 0;
  std::vector<std::string> chunks;
};
// Jobs of consecutive sequences; at least one.
Encoded encode(const std::vector<StoredJob>& jobs);

Apply insert_chunk(const JobId& batch, std::size_t number, std::string text);
// Errors: kConflict when the key was stored meanwhile, or a chunk is missing (the disk was full for
// a moment).
Apply insert_header(const StoredBatch& batch, std::string base, std::uint64_t first_sequence,
                    std::size_t chunks, const std::string& key, const std::string& body_hash);
// Those without a header.
Apply remove_loose_chunks();
// A job of the batch got its own row.
Status job_written(Database& db, const JobId& batch);

std::optional<StoredBatch> find(Database& db, const JobId& id, Status* status);
// Jobs that have no row of their own yet.
Status unwritten(Database& db, std::vector<StoredJob>* out);

}  // namespace polysome::batch_records
