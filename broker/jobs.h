// Long work of a broker: signature checks, hashes, body files, signing. It leaves a step as a Job and comes back as an
// event (protocol.md 8.10, house rule 5). Pure over the Bodies port, so the simulator runs the same functions.
// Invariants: a job owns all it needs; nothing it reports is believed twice (results carry what they are about).
// Not here: what the results mean (broker.h). Thread: any worker; two jobs never write one body's chunk at a time.
#pragma once
#include <memory>
#include <optional>
#include <variant>

#include "base/ports.h"
#include "crypto/body_check.h"
#include "crypto/formats.h"
#include "proto/wire.h"

namespace tram::broker {

/// A live connection of a peer to one of the two sockets.
struct SessionKey {
  proto::Endpoint endpoint = proto::Endpoint::control;
  uint64_t id = 0;
  auto operator<=>(const SessionKey&) const = default;
};
/// Whom an answer goes to.
struct Asker {
  SessionKey session;
  PartyId peer;
  uint64_t request = 0;
};

/// Name of a body's file and of the side file that holds a manifest over 48 KiB.
std::string body_name(const DocId&);
std::string manifest_name(const DocId&);

// ---- custody requests ---------------------------------------------------------------------------------------

/// Header, manifest, inline chunk, blobs and envelopes of Put frames: hashes and signatures.
struct VerifyPutJob {
  struct Item {
    Asker asker;
    proto::Put put;
    std::vector<SigPublic> keys;  // tried in order; first = the sender's key now
    std::vector<SigPublic> header_keys;  // of other times, for the header alone
    bool body_known = false;      // verified before: header, manifest and chunk are not looked at
    bool again = false;           // second try, with keys of other times
  };
  std::vector<Item> items;
};
struct VerifyPutDone {
  struct Part {
    crypto::Envelope envelope;
    uint16_t refusal = 0;  // error number; 0 = signature and blob are good
  };
  struct Item {
    VerifyPutJob::Item asked;
    uint16_t refusal = 0;        // of header, manifest or chunk
    bool body_verified = false;  // a complete inline body, verified now
    crypto::Header header;       // when there was one
    uint64_t body_bytes = 0;     // sealed
    std::vector<Part> parts;     // one an envelope
  };
  std::vector<Item> items;
};

/// Signs custody receipts after the commit (R1): every non-empty `custody` of a result holds the unsigned bytes.
struct SignJob {
  struct Item {
    SessionKey session;
    uint64_t request = 0;
    proto::PutReply reply;
  };
  std::shared_ptr<const crypto::SigningKey> key;
  Epoch epoch;  // of the step: what was signed for a life that has ended is not sent (R8)
  std::vector<Item> items;
};
struct SignDone {
  Epoch epoch;
  std::vector<SignJob::Item> items;
};

// ---- bodies -------------------------------------------------------------------------------------------------

/// A body that will be a file: header and manifest are verified, then the file is made with room for all of it.
struct OfferJob {
  Asker asker;
  proto::Offer offer;
  DocId doc_id;  // of the header, from the step
  std::vector<SigPublic> keys;
};
struct OfferDone {
  OfferJob asked;
  Result<void> outcome;
  crypto::Header header;
  uint64_t body_bytes = 0;
};
struct WriteChunkJob {
  Asker asker;
  DocId doc_id;
  uint32_t index = 0;
  uint32_t chunks = 0;              // of the body
  uint64_t body_bytes = 0;          // of its file, should it have to be made again (a store put back remembers freed ones)
  std::optional<ChunkId> expected;  // else read from the manifest's side file
  Bytes sealed;
};
struct WriteChunkDone {
  Asker asker;
  DocId doc_id;
  uint32_t index = 0;
  uint32_t bytes = 0;
  Result<void> outcome;  // bad_format: not the chunk of the manifest
};
struct SyncBodyJob {
  PartyId sender;
  DocId doc_id;
  std::vector<uint32_t> indexes;  // written before this job was made
};
struct SyncBodyDone {
  PartyId sender;
  DocId doc_id;
  std::vector<uint32_t> indexes;
  Result<void> outcome;
};
struct ReadChunkJob {
  Asker asker;
  DocId doc_id;
  uint32_t index = 0;
  uint32_t bytes = 0;
};
struct ReadChunkDone {
  Asker asker;
  DocId doc_id;
  uint32_t index = 0;
  Result<Bytes> chunk;
};
struct ReadManifestJob {
  Asker asker;
  DocId doc_id;
  uint32_t bytes = 0;
};
struct ReadManifestDone {
  Asker asker;
  DocId doc_id;
  Result<Bytes> manifest;
};
/// Files whose rows are gone, by commit.
struct RemoveBodiesJob {
  std::vector<std::string> names;
};
struct RemoveBodiesDone {
  std::vector<std::string> names;
  Result<void> outcome;
};
/// All files, to find those without rows (D5).
struct ListBodiesJob {};
struct ListBodiesDone {
  Result<std::vector<std::string>> names;
};

/// Body files compared with their manifests (3.9); parts of at most limits::scrub_bytes_per_second in all.
struct ScrubJob {
  struct Item {
    Bytes key;           // of the body's row
    crypto::BodyPart part;
    bool last = false;   // the body's last part
  };
  std::vector<Item> items;
  bool walk = true;      // of the walk; else a body that could not be served
  Bytes next;            // where the walk goes on, and with which chunk
  uint32_t next_chunk = 0;
};
struct ScrubDone {
  ScrubJob asked;
  std::vector<Result<crypto::BodyPartCheck>> checks;  // one an item
};

// ---- answers and mail ---------------------------------------------------------------------------------------

/// ACKs and NACK notices of a recipient.
struct VerifyAckJob {
  struct Item {
    Asker asker;
    proto::AckPut put;
    std::vector<SigPublic> keys;
    bool again = false;
  };
  std::vector<Item> items;
};
struct VerifyAckDone {
  struct Part {
    std::optional<crypto::Ack> ack;
    std::optional<crypto::Notice> notice;
    uint16_t refusal = 0;
  };
  struct Item {
    VerifyAckJob::Item asked;
    std::vector<Part> parts;
  };
  std::vector<Item> items;
};
/// Small mail; notices are verified, cells are sealed and only measured.
struct VerifyMailJob {
  Asker asker;
  proto::MailPost post;
  std::vector<SigPublic> keys;
  bool again = false;
  bool counted = false;  // among the statements in flight
};
struct VerifyMailDone {
  struct Part {
    Hash id;  // H("edx1/mail"; content)
    std::optional<crypto::Notice> notice;
    uint16_t refusal = 0;
  };
  VerifyMailJob asked;
  std::vector<Part> parts;
};

using Job = std::variant<VerifyPutJob, SignJob, OfferJob, WriteChunkJob, SyncBodyJob, ReadChunkJob, ReadManifestJob,
                         RemoveBodiesJob, ListBodiesJob, VerifyAckJob, VerifyMailJob, ScrubJob>;
using JobDone = std::variant<VerifyPutDone, SignDone, OfferDone, WriteChunkDone, SyncBodyDone, ReadChunkDone,
                             ReadManifestDone, RemoveBodiesDone, ListBodiesDone, VerifyAckDone, VerifyMailDone, ScrubDone>;

/// Runs one job to its end. Errors are inside the results.
JobDone run_job(Job&&, Bodies&);
/// Shorter than the way to a worker and back: a few signatures, no file. Who waits for it alone does it himself.
bool is_brief(const Job&);

/// H("edx1/mail"; content).
Hash mail_id(BytesView content);

}  // namespace tram::broker
