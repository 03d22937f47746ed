#include "node/jobs.h"

#include "base/limits.h"

namespace tram::node {

SealDone run_seal_job(SealJob&, Bodies&, Random&);
OpenDone run_open_job(OpenJob&);
ChunkJobDone run_chunk_job(ChunkJob&, Bodies&);
ScanBodyDone run_scan_job(ScanBodyJob&, Bodies&);
FinishBodyDone run_finish_job(FinishBodyJob&, Bodies&);

WrapDone run_wrap_job(WrapJob& job, Random& random) {
  WrapDone done;
  for (WrapRun& run : job.runs) {
    done.channels.emplace_back(run.recipient, run.lane);
    EnvelopeId prev = run.prev;
    uint64_t seq = run.first_seq;
    for (WrapTarget& target : run.targets) {
      crypto::Envelope envelope;
      envelope.lane = run.lane;
      envelope.realm = job.context.realm;
      envelope.sender = job.context.self;
      envelope.recipient = run.recipient;
      envelope.inc = run.inc;
      envelope.re_of = target.re_of;
      envelope.seq = seq;
      envelope.prev = prev;
      envelope.doc_id = target.doc_id;
      Bytes blob = crypto::make_random_blob(random);
      envelope.officer_blob_id = crypto::blob_id(blob);
      envelope.recipient_kx = crypto::key_id(crypto::KeyKind::kx, run.kx);
      envelope.created = job.now;
      envelope.not_after = target.not_after;
      envelope.dir_size = job.dir_size;
      envelope.dir_root = job.dir_root;
      if (!crypto::wrap_key(envelope, target.document_key, run.kx, random)) break;  // a bad key stops its channel
      Bytes wire = crypto::encode_envelope(envelope, *job.context.sig);
      prev = envelope.id;
      done.envelopes.push_back({target.uuid, run.recipient, run.lane, target.order, seq, envelope.id, std::move(wire), std::move(blob)});
      ++seq;
    }
  }
  return done;
}

namespace {

CustodyDone check_custody(CustodyJob& job) {
  CustodyDone done;
  for (auto& item : job.items) {
    auto custody = crypto::decode_custody(item.custody);
    if (custody && custody->broker == item.broker && crypto::verify_custody(*custody, item.key))
      done.valid.push_back(std::move(item));
    else
      ++done.forged;
  }
  return done;
}

AnswerDone seal_answers(AnswerJob& job, Random& random) {
  AnswerDone done;
  for (auto& item : job.items) {
    AnswerDone::Item out{item.env_id, item.sender, std::move(item.statement), item.doc_id, item.event, {}, std::move(item.brokers)};
    if (item.have_kx)
      if (auto cell = crypto::seal_cell(item.receipt, item.kx, random)) out.cell = std::move(*cell);
    done.items.push_back(std::move(out));
  }
  return done;
}

Result<void> open_mail(MailJob::Item& item, MailJobDone::Item& out) {
  if (item.content.size() != limits::cell_bytes) {
    TRAM_TRY(notice, crypto::decode_notice(item.content));
    if (notice.issuer != item.author) return fail(ErrorCode::bad_signature, "author");
    out.notice = std::move(notice);
    if (!crypto::verify_notice(*out.notice, item.author_key)) return fail(ErrorCode::bad_signature, "notice");
    return {};
  }
  if (!item.have_kx) return fail(ErrorCode::rekey, "the key this cell names is not held");
  TRAM_TRY(bytes, crypto::open_cell(item.content, item.kx));
  TRAM_TRY(receipt, crypto::decode_receipt(bytes));
  if (receipt.issuer != item.author) return fail(ErrorCode::bad_signature, "author");
  out.receipt = std::move(receipt);
  out.receipt_bytes = std::move(bytes);
  if (!crypto::verify_receipt(*out.receipt, item.author_key)) return fail(ErrorCode::bad_signature, "receipt");
  return {};
}

MailJobDone open_all_mail(MailJob& job) {
  MailJobDone done;
  for (auto& item : job.items) {
    MailJobDone::Item out;
    out.mail_id = item.mail_id;
    out.author = item.author;
    out.outcome = open_mail(item, out);
    out.brokers = std::move(item.brokers);
    done.items.push_back(std::move(out));
  }
  return done;
}

ScrubDone check_bodies(ScrubJob& job, Bodies& bodies) {
  ScrubDone done;
  for (const auto& item : job.items) done.checks.push_back(crypto::check_body(item.part, bodies));
  done.asked = std::move(job);
  return done;
}

}  // namespace

JobResult run_job(Job& job, Bodies& bodies, Random& random) {
  struct Runner {
    Bodies& bodies;
    Random& random;
    JobResult operator()(SealJob& j) { return run_seal_job(j, bodies, random); }
    JobResult operator()(WrapJob& j) { return run_wrap_job(j, random); }
    JobResult operator()(CustodyJob& j) { return check_custody(j); }
    JobResult operator()(OpenJob& j) { return run_open_job(j); }
    JobResult operator()(ChunkJob& j) { return run_chunk_job(j, bodies); }
    JobResult operator()(ScanBodyJob& j) { return run_scan_job(j, bodies); }
    JobResult operator()(FinishBodyJob& j) { return run_finish_job(j, bodies); }
    JobResult operator()(AnswerJob& j) { return seal_answers(j, random); }
    JobResult operator()(MailJob& j) { return open_all_mail(j); }
    JobResult operator()(ScrubJob& j) { return check_bodies(j, bodies); }
  };
  return std::visit(Runner{bodies, random}, job);
}

bool is_brief(const Job& job) {
  constexpr size_t items_max = 2;
  constexpr size_t chunk_bytes_max = 16u << 10;
  if (const auto* open = std::get_if<OpenJob>(&job)) return open->inline_chunk.size() <= chunk_bytes_max;
  if (const auto* custody = std::get_if<CustodyJob>(&job)) return custody->items.size() <= items_max;
  if (const auto* answer = std::get_if<AnswerJob>(&job)) return answer->items.size() <= items_max;
  if (const auto* mail = std::get_if<MailJob>(&job)) return mail->items.size() <= items_max;
  if (const auto* wrap = std::get_if<WrapJob>(&job)) return wrap->runs.size() == 1 && wrap->runs[0].targets.size() <= items_max;
  return false;
}

namespace {

template <class Variant, class Open, class Chunk, class Finish, class Mail>
std::vector<Hash> opened(const Variant& of) {
  const auto envelope = [](const EnvelopeId& id) { return std::vector<Hash>{Hash{id.bytes}}; };
  if (const auto* one = std::get_if<Open>(&of)) return envelope(one->env_id);
  if (const auto* one = std::get_if<Chunk>(&of)) return envelope(one->env_id);
  if (const auto* one = std::get_if<Finish>(&of)) return envelope(one->env_id);
  std::vector<Hash> ids;
  if (const auto* mail = std::get_if<Mail>(&of))
    for (const auto& item : mail->items) ids.push_back(item.mail_id);
  return ids;
}

}  // namespace

std::vector<Hash> opened_by(const Job& job) { return opened<Job, OpenJob, ChunkJob, FinishBodyJob, MailJob>(job); }
std::vector<Hash> opened_by(const JobResult& result) {
  return opened<JobResult, OpenDone, ChunkJobDone, FinishBodyDone, MailJobDone>(result);
}

std::string body_name(const DocId& id) { return id.hex(); }
std::string manifest_name(std::string_view body) { return std::string(body) + "0a"; }
std::string upload_name(std::string_view upload_id) { return "0f" + std::string(upload_id); }

Result<Bytes> keep_manifest(Bodies& bodies, const std::string& body_name, Bytes manifest) {
  if (manifest.size() <= limits::node_row_manifest_bytes_max) return manifest;
  const std::string name = manifest_name(body_name);
  TRAM_OK(bodies.create(name, manifest.size()));
  TRAM_OK(bodies.write(name, 0, manifest));
  TRAM_OK(bodies.sync(name));
  return Bytes();
}

}  // namespace tram::node
