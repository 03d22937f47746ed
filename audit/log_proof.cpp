#include "audit/log_proof.h"

#include <charconv>

#include "audit/own_log.h"
#include "crypto/base64.h"

namespace tram::audit {
namespace {

constexpr std::string_view first_line = "c2sp.org/tlog-proof@v1", extra_word = "extra ", index_word = "index ";
constexpr size_t path_max = 64;

std::optional<std::string_view> take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

auto malformed(const char* what) { return fail(ErrorCode::bad_format, std::string("log proof: ") + what); }

}  // namespace

Bytes encode_log_proof(const LogProof& proof) {
  Bytes extra;
  Writer(extra)
      .u16(static_cast<uint16_t>(proof.leaf.kind))
      .u64(proof.leaf.time.wire())
      .raw(proof.leaf.salt)
      .raw(proof.leaf.entry);
  std::string out = std::string(first_line) + "\n" + std::string(extra_word) + crypto::to_base64(extra) + "\n" +
                    std::string(index_word) + std::to_string(proof.index) + "\n";
  for (const Hash& one : proof.path) out += crypto::to_base64(one) + "\n";
  out += "\n";
  out += text(proof.note);
  return to_bytes(out);
}

Result<LogProof> decode_log_proof(BytesView bytes) {
  if (bytes.size() > log_proof_bytes_max) return fail(ErrorCode::too_large, "log proof");
  std::string_view rest = text(bytes);
  LogProof proof;
  if (take_line(rest) != first_line) return malformed("version");
  auto line = take_line(rest);
  if (!line || !line->starts_with(extra_word)) return malformed("extra");
  const auto extra = crypto::from_base64(line->substr(extra_word.size()));
  if (!extra) return malformed("extra");
  Reader reader(*extra);
  proof.leaf.kind = static_cast<LeafKind>(reader.u16());
  proof.leaf.time = Time{static_cast<int64_t>(reader.u64())};
  proof.leaf.salt = reader.array<16>();
  proof.leaf.entry = to_bytes(reader.raw(reader.left()));
  if (!reader.finish() || proof.leaf.time.ms < 0) return malformed("extra");
  line = take_line(rest);
  if (!line || !line->starts_with(index_word)) return malformed("index");
  const std::string_view number = line->substr(index_word.size());
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), proof.index);
  if (error != std::errc{} || end != number.data() + number.size() || std::to_string(proof.index) != number)
    return malformed("index");
  for (;;) {
    line = take_line(rest);
    if (!line) return malformed("path");
    if (line->empty()) break;
    const auto raw = crypto::from_base64(*line);
    const auto hash = raw ? Hash::from(*raw) : std::nullopt;
    if (!hash || proof.path.size() == path_max) return malformed("path");
    proof.path.push_back(*hash);
  }
  proof.note = to_bytes(rest);
  TRAM_OK(crypto::decode_signed_checkpoint(proof.note));
  return proof;
}

Result<crypto::SignedCheckpoint> check_log_proof(const LogProof& proof) {
  TRAM_TRY(shown, crypto::decode_signed_checkpoint(proof.note));
  const Hash leaf = crypto::merkle_leaf(crypto::log_leaf_data(static_cast<uint16_t>(proof.leaf.kind), proof.index,
                                                              proof.leaf.time, proof.leaf.salt, proof.leaf.entry));
  if (!crypto::verify_inclusion(proof.index, shown.checkpoint.size, leaf, proof.path, shown.checkpoint.root))
    return fail(ErrorCode::bad_request, "log proof: the entry is not in the log");
  return shown;
}

Result<std::optional<LogProof>> make_log_proof(ReadTxn& txn, uint64_t index) {
  TRAM_TRY(note, best_own_note(txn));
  const auto shown = crypto::decode_signed_checkpoint(note);
  if (!shown || index >= shown->checkpoint.size) return std::optional<LogProof>{};
  TRAM_TRY(entry, read_entry(txn, index));
  if (!entry) return std::optional<LogProof>{};
  TRAM_TRY(path, inclusion_proof(txn, index, shown->checkpoint.size));
  LogProof proof{std::move(*entry), index, std::move(path), std::move(note)};
  // A checkpoint of another generation does not contain it.
  if (!check_log_proof(proof)) return std::optional<LogProof>{};
  return std::optional<LogProof>(std::move(proof));
}

}  // namespace tram::audit
