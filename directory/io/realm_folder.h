// A realm as a folder of files, as the authority keeps it:
//   genesis/realm.toml      id, name, practice: what the realm is, pinned
//   entries/NNNNNN.entry    the directory, signed
//   pending/NNNNNN.entry    proposed entries that collect signatures, chained after the directory
// Invariants: every file is written whole or not at all; opening verifies every entry again, so the folder may come
// from anywhere; pending entries are never believed. Not here: keys (officer_keys.h), the network (publish.cpp).
// Thread: main.
#pragma once
#include <functional>

#include "directory/directory.h"
#include "directory/signing.h"
#include "directory/staged.h"

namespace tram::authority {

struct Pending {
  std::string path;
  proto::Entry entry;
  proto::EntryPayload payload;
};

/// Reads an entry file. Errors: not_found, bad_format.
Result<Pending> read_entry_file(const std::string& path);
/// Writes it, replacing; readable for everyone: nothing in it is secret.
Result<void> write_public_file(const std::string& path, BytesView bytes);
std::string entry_file_name(uint64_t index);

class RealmFolder {
 public:
  /// Makes the folder with a pending genesis. Error: conflict (there is a realm).
  static Result<void> create(const std::string& path, const proto::EntryPayload& genesis);
  /// Errors: not_found (no realm there), bad_signature and the like (a file was changed), wrong_realm.
  static Result<std::unique_ptr<RealmFolder>> open(const std::string& path);

  const directory::Directory& directory() const { return directory_; }
  ReadTxn& txn() { return txn_; }
  const std::string& path() const { return path_; }
  /// In order of index.
  const std::vector<Pending>& pending() const { return pending_; }
  /// Whether the realm, or the genesis that waits, is a practice realm.
  bool practice() const;

  /// Where the next proposed entry goes: after the last pending one.
  directory::Chain chain(Time created) const;
  /// Writes payloads as pending entries; their paths.
  Result<std::vector<std::string>> propose(const std::vector<Bytes>& payloads);
  /// Replaces the signatures of a pending entry.
  Result<void> store_pending(const Pending&);
  /// Applies the first pending entry and moves it among the entries. Errors: those of Directory::apply.
  Result<void> accept_first();
  /// Takes away the first entry's signatures that do not count, of which one would spoil it; whose they were.
  Result<std::vector<PartyId>> drop_idle_signatures();
  /// Removes a pending entry and all that are chained after it; how many.
  Result<size_t> discard(uint64_t index);

  /// The agency with this code: in the directory now or later, else among the pending entries.
  std::optional<PartyId> find_code(std::string_view code, Time now);
  /// Its record as last proposed: pending entries count.
  std::optional<proto::Agency> latest_record(const PartyId&, Time now);
  /// "name" of any party that the directory or a pending entry knows, "" otherwise.
  std::string name_of(const PartyId&, Time now);

 private:
  RealmFolder(std::string path, RealmId realm) : path_(std::move(path)), directory_(realm) {}
  Result<void> load();
  std::string path_;
  directory::StagedTxn txn_;
  directory::Directory directory_;
  std::vector<Pending> pending_;
};

}  // namespace tram::authority
