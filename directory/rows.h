// The directory's tables and their keys; reading a party's history. Internal to directory/.
// An agency's rows are its changes in the order in which they were decided (entry index, place in the entry), in two
// streams: records, and statuses (STATUS and SUCCEED). Nothing is ever overwritten, so that the state "at this size of
// the directory and at this time" can be asked for ever.
// Thread: the step's.
#pragma once
#include <functional>

#include "directory/directory.h"

namespace tram::directory::rows {

inline constexpr Table entries{"dir_entries"};  // u64 index -> the signed entry as received
inline constexpr Table roots{"dir_roots"};      // u64 size -> RFC 6962 root
inline constexpr Table head{"dir_head"};        // "head" -> hash of the last payload || frontier
inline constexpr Table parties{"dir_parties"};  // party -> u8 kind || owner(16): what an id means, for ever
inline constexpr Table history{
    "dir_history"};  // party || u8 stream || u64 index || u16 number -> u64 effective || change
inline constexpr Table special{
    "dir_special"};  // u64 index || u16 number -> change, of ROOT REGISTRAR BROKER WITNESS POLICY
inline constexpr Table officers{"dir_officers"};  // agency || officer -> change, the last one
inline constexpr Table keys{"dir_keys"};          // u8 curve || public key -> party || u8 purpose, the first holder
inline constexpr Table codes{"dir_codes"};        // code || 0 || party -> ""
inline constexpr Table words{"dir_words"};        // folded word || 0 || party -> ""
inline constexpr Table groups{"dir_groups"};      // u8 level || u8 branch || province || 0 || party -> ""
inline constexpr Table children{"dir_children"};  // parent || party -> ""
inline constexpr Table kx{"dir_kx"};              // agency -> feed

enum class PartyKind : uint8_t { agency = 1, broker, registrar, officer, root_officer, registrar_officer, witness };
enum class KeyCurve : uint8_t { ed25519 = 1, x25519 = 2 };
enum class KeyPurpose : uint8_t { sig = 1, log = 2, curve = 3, publisher = 4 };
enum class Stream : uint8_t { record = 'a', status = 's' };

Bytes index_key(uint64_t index);
Bytes history_prefix(const PartyId&, Stream);
Bytes history_key(const PartyId&, Stream, uint64_t index, uint16_t number);
Bytes special_key(uint64_t index, uint16_t number);
Bytes joined_key(std::string_view text, const PartyId&);  // text || 0 || party
Bytes pair_key(const PartyId& first, const PartyId& second);
Bytes public_key_key(KeyCurve, BytesView public_key);
Bytes group_prefix(proto::Level, std::optional<proto::Branch>, std::optional<std::string_view> province);
Bytes group_key(const proto::Agency&);

Bytes encode_change(const proto::Change&);
Result<proto::Change> decode_change(BytesView);

/// Calls `visit` for every row that starts with `prefix`, in key order, until it returns false.
Result<void> for_each(ReadTxn&, const Table&, BytesView prefix, const std::function<Result<bool>(const Row&)>& visit);

/// One change of a party, as decided.
struct Decision {
  uint64_t index = 0;
  Time effective;
  proto::Change change;
};
/// Decisions of entries below `dir_size`, in order.
Result<std::vector<Decision>> decisions(ReadTxn&, const PartyId&, Stream, uint64_t dir_size = UINT64_MAX);

/// The state of an agency at `at` as the directory of `dir_size` entries has it; nothing before its first record.
Result<std::optional<AgencyState>> agency_at(ReadTxn&, const PartyId&, uint64_t dir_size, Time at);

/// Since when an agency is closed, as far as it is decided that it stays so; nothing when it is not.
Result<std::optional<Time>> closed_from(ReadTxn&, const PartyId&);

struct Interval {
  Time from, until;  // [from, until)
  bool empty() const { return !(from < until); }
  bool overlaps(const Interval& other) const { return from < other.until && other.from < until; }
};
inline constexpr Time for_ever{INT64_MAX};
/// When an agency holds `code`, in all the future that is decided.
Result<std::vector<Interval>> code_intervals(ReadTxn&, const PartyId&, std::string_view code);
/// Parties that hold or held `code`.
Result<std::vector<PartyId>> code_parties(ReadTxn&, std::string_view code);

/// The last of those in force at `at`.
template <class T>
const T* in_force(const detail::Decided<T>& decided, Time at) {
  for (auto it = decided.rbegin(); it != decided.rend(); ++it)
    if (it->first <= at) return &it->second;
  return nullptr;
}

/// Words of a folded text that an index holds: separated by white space, and their alphanumeric parts.
std::vector<std::string> search_words(std::string_view folded);
/// The folded text in which an agency is looked for.
std::string search_text(const proto::Agency&);

}  // namespace tram::directory::rows
