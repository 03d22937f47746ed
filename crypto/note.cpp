#include "crypto/note.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "crypto/base64.h"
#include "crypto/detail/utf8.h"

namespace tram::crypto {
namespace {

constexpr std::string_view dash = "\xe2\x80\x94 ";  // em dash, space
constexpr size_t key_id_bytes = 4;

/// Decimal without sign or leading zeros.
template <class Number>
std::optional<Number> from_decimal(std::string_view in) {
  Number value = 0;
  const auto [end, error] = std::from_chars(in.data(), in.data() + in.size(), value);
  if (in.empty() || error != std::errc{} || end != in.data() + in.size()) return std::nullopt;
  if (in.front() < '0' || in.front() > '9' || (in.size() > 1 && in.front() == '0')) return std::nullopt;
  return value;
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= note_name_bytes_max &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != '+'; });
}

bool is_note_text(std::string_view text) {
  // All that this product writes; other logs may name themselves in any script.
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return (c >= ' ' && c < 0x7f) || c == '\n'; });
  if (plain) return text.ends_with('\n');
  return !text.empty() && text.back() == '\n' && well_formed_utf8(view(text)) &&
         std::none_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < ' ' && c != '\n'; });
}

/// The line up to its newline, taken off `rest`.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

std::string_view kind_name(LogKind kind) {
  switch (kind) {
    case LogKind::node: return "node";
    case LogKind::broker: return "broker";
    case LogKind::witness: return "witness";
    case LogKind::directory: return "directory";
  }
  return {};
}

std::string cosigned_text(std::string_view text, uint64_t seconds) {
  return "cosignature/v1\ntime " + std::to_string(seconds) + "\n" + std::string(text);
}

template <size_t N>
std::optional<std::array<uint8_t, N>> from_lower_hex(std::string_view digits) {
  const auto raw = from_hex(digits);
  const bool lower = std::none_of(digits.begin(), digits.end(), [](char c) { return c >= 'A' && c <= 'F'; });
  if (!raw || raw->size() != N || !lower) return std::nullopt;
  std::array<uint8_t, N> out;
  std::copy(raw->begin(), raw->end(), out.begin());
  return out;
}

std::optional<LogOrigin> from_origin_text(std::string_view text) {
  std::array<std::string_view, 5> parts;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t end = i + 1 < parts.size() ? text.find('/') : text.size();
    if (end == std::string_view::npos) return std::nullopt;
    parts[i] = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const auto realm = from_lower_hex<8>(parts[1]);
  const auto party = from_lower_hex<PartyId::size>(parts[3]);
  const auto generation = from_decimal<uint32_t>(parts[4]);
  if (parts[0] != "edx" || !realm || !party || !generation) return std::nullopt;
  for (LogKind kind : {LogKind::node, LogKind::broker, LogKind::witness, LogKind::directory}) {
    if (parts[2] == kind_name(kind)) return LogOrigin{*realm, kind, PartyId{*party}, *generation};
  }
  return std::nullopt;
}

}  // namespace

uint32_t note_key_id(std::string_view name, NoteKeyType type, BytesView public_key) {
  const std::array<uint8_t, 2> between{'\n', static_cast<uint8_t>(type)};
  const Hash full = sha256({view(name), between, public_key});
  return Reader(full.view()).u32();
}

std::string note_signature_line(const NoteSignature& signature) {
  Bytes raw;
  Writer(raw).u32(signature.key_id).raw(signature.signature);
  return std::string(dash) + signature.name + " " + to_base64(raw) + "\n";
}

Result<NoteSignature> decode_note_signature_line(std::string_view in) {
  const auto line = take_line(in);
  if (!line || !in.empty() || !line->starts_with(dash)) return fail(ErrorCode::bad_format, "note: signature line");
  const std::string_view body = line->substr(dash.size());
  const size_t space = body.find(' ');
  if (space == std::string_view::npos || !is_name(body.substr(0, space)))
    return fail(ErrorCode::bad_format, "note: key name");
  const auto raw = from_base64(body.substr(space + 1));
  if (!raw || raw->size() <= key_id_bytes || raw->size() > key_id_bytes + note_signature_bytes_max)
    return fail(ErrorCode::bad_format, "note: signature");
  Reader reader(*raw);
  NoteSignature out;
  out.name = body.substr(0, space);
  out.key_id = reader.u32();
  out.signature = to_bytes(reader.raw(reader.left()));
  return out;
}

Bytes encode_note(const Note& note) {
  TRAM_CHECK(is_note_text(note.text));
  std::string out = note.text + "\n";
  for (const auto& signature : note.signatures) out += note_signature_line(signature);
  return to_bytes(out);
}

Result<Note> decode_note(BytesView bytes) {
  if (bytes.size() > note_bytes_max) return fail(ErrorCode::too_large, "note");
  const std::string_view whole = text(bytes);
  // The last blank line; rfind() of two characters compares them at every place by a call.
  size_t blank = whole.size();
  do {
    blank = blank ? whole.rfind('\n', blank - 1) : std::string_view::npos;
    if (blank == std::string_view::npos || blank == 0) return fail(ErrorCode::bad_format, "note: no blank line");
  } while (whole[blank - 1] != '\n');
  --blank;
  Note note;
  note.text = whole.substr(0, blank + 1);
  if (!is_note_text(note.text)) return fail(ErrorCode::bad_format, "note: text");
  std::string_view rest = whole.substr(blank + 2);
  while (!rest.empty()) {
    if (note.signatures.size() == note_signatures_max) return fail(ErrorCode::too_large, "note: signatures");
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) return fail(ErrorCode::bad_format, "note: signature line");
    TRAM_TRY(signature, decode_note_signature_line(rest.substr(0, end + 1)));
    note.signatures.push_back(std::move(signature));
    rest.remove_prefix(end + 1);
  }
  if (note.signatures.empty()) return fail(ErrorCode::bad_format, "note: not signed");
  return note;
}

bool verify_note_signature(std::string_view text, const NoteSignature& signature, std::string_view name,
                           const LogPublic& key) {
  const auto raw = Signature::from(signature.signature);
  return raw && signature.name == name && signature.key_id == note_key_id(name, NoteKeyType::ed25519, key) &&
         verify_note(key, view(text), *raw);
}

// ---- checkpoints ------------------------------------------------------------------------------------------

LogOrigin log_origin(const RealmId& realm, LogKind kind, const PartyId& party, uint32_t generation) {
  LogOrigin origin{{}, kind, party, generation};
  std::copy_n(realm.bytes.begin(), origin.realm.size(), origin.realm.begin());
  return origin;
}

std::string LogOrigin::text() const {
  return "edx/" + to_hex(realm) + "/" + std::string(kind_name(kind)) + "/" + party.hex() + "/" +
         std::to_string(generation);
}

std::string cosigner_name(const RealmId& realm, LogKind kind, const PartyId& party) {
  const std::string origin = log_origin(realm, kind, party, 0).text();
  return origin.substr(0, origin.rfind('/'));
}

std::optional<LogOrigin> cosigner_of(std::string_view name) { return from_origin_text(std::string(name) + "/0"); }

std::string checkpoint_text(const Checkpoint& checkpoint) {
  return checkpoint.origin.text() + "\n" + std::to_string(checkpoint.size) + "\n" + to_base64(checkpoint.root) + "\n";
}

Result<Checkpoint> decode_checkpoint_text(std::string_view in) {
  const auto origin_line = take_line(in), size_line = take_line(in), root_line = take_line(in);
  if (!origin_line || !size_line || !root_line || !in.empty()) return fail(ErrorCode::bad_format, "checkpoint: lines");
  const auto origin = from_origin_text(*origin_line);
  if (!origin) return fail(ErrorCode::bad_format, "checkpoint: origin");
  const auto size = from_decimal<uint64_t>(*size_line);
  if (!size || *size > static_cast<uint64_t>(INT64_MAX)) return fail(ErrorCode::bad_format, "checkpoint: size");
  const auto root = from_base64(*root_line);
  if (!root || root->size() != Hash::size) return fail(ErrorCode::bad_format, "checkpoint: root");
  return Checkpoint{*origin, *size, *Hash::from(*root)};
}

Result<SignedCheckpoint> decode_signed_checkpoint(BytesView bytes) {
  SignedCheckpoint out;
  TRAM_TRY(note, decode_note(bytes));
  TRAM_TRY(checkpoint, decode_checkpoint_text(note.text));
  out.checkpoint = checkpoint;
  out.note = std::move(note);
  return out;
}

Note sign_checkpoint(const Checkpoint& checkpoint, const LogKey& key) {
  Note note{checkpoint_text(checkpoint), {}};
  const std::string name = checkpoint.origin.text();
  note.signatures.push_back({name, note_key_id(name, NoteKeyType::ed25519, key.public_key()),
                             to_bytes(key.sign_note(view(note.text)).view())});
  return note;
}

bool verify_checkpoint(const SignedCheckpoint& signed_checkpoint, const LogPublic& key) {
  const std::string name = signed_checkpoint.checkpoint.origin.text();
  return std::any_of(signed_checkpoint.note.signatures.begin(), signed_checkpoint.note.signatures.end(),
                     [&](const NoteSignature& one) {
                       return verify_note_signature(signed_checkpoint.note.text, one, name, key);
                     });
}

NoteSignature cosign(std::string_view text, std::string_view name, Time now, const LogKey& key) {
  const uint64_t seconds = now.wire() / 1000;
  NoteSignature out{std::string(name), note_key_id(name, NoteKeyType::cosignature_v1, key.public_key()), {}};
  Writer(out.signature).u64(seconds).raw(key.sign_note(view(cosigned_text(text, seconds))));
  return out;
}

std::optional<Time> verify_cosignature(std::string_view text, const NoteSignature& signature, std::string_view name,
                                       const LogPublic& key) {
  if (signature.name != name || signature.key_id != note_key_id(name, NoteKeyType::cosignature_v1, key)) return {};
  Reader reader(signature.signature);
  const uint64_t seconds = reader.u64();
  const Signature raw{reader.array<Signature::size>()};
  if (!reader.finish() || seconds > static_cast<uint64_t>(INT64_MAX) / 1000) return {};
  if (!verify_note(key, view(cosigned_text(text, seconds)), raw)) return {};
  return Time{static_cast<int64_t>(seconds) * 1000};
}

}  // namespace tram::crypto
