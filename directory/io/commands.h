// The commands of tram-authority, one function each: options in, exit code out (0 done, 1 failed; 2 is for usage).
// main.cpp turns the command line into these. Thread: main.
#pragma once
#include <map>
#include <memory>

#include "directory/io/console.h"
#include "directory/io/officer_keys.h"
#include "directory/io/realm_folder.h"

namespace tram::authority {

/// Keys to sign and accept with at once: practice realms only, so that a script can build one.
struct SignWith {
  std::vector<std::string> keys;
  std::vector<int> passphrase_fds;
};

struct CreateOptions {
  std::string name;
  std::vector<std::string> officers;  // .pub files
  uint32_t threshold = 0, root_threshold = 0;
  bool practice = false;
  std::vector<std::string> publishers;  // .pub files
  SignWith sign_with;
};
int run_keygen(const Global&, const KeygenOptions&, const std::vector<int>& passphrase_fds);
int run_create(const Global&, const CreateOptions&);

struct ProposeOptions {
  std::string what;       // agency broker registrar officer status succeed policy witness root
  std::string file;       // JSON with the same names as the flags
  std::string effective;  // moment
  std::string by;         // "", a registrar's id or name, an agency's code
  bool urgent = false;    // before the pending entries, which must be signed again
  SignWith sign_with;
  std::map<std::string, std::vector<std::string>> values;  // flag -> values, as given
};
int run_propose(const Global&, const ProposeOptions&);

struct ApproveOptions {
  std::vector<std::string> requests;
  std::string as_code, id, code;
  std::string batch, code_sheet;
  std::string by, effective;
  bool replace_keys = false;
  // An agency that is not in the directory yet:
  bool create = false;
  std::string name, branch, level, parent, province;
  SignWith sign_with;
};
int run_approve(const Global&, const ApproveOptions&);
int run_approval(const Global&, const std::string& request, const std::string& out);

struct SignOptions {
  std::vector<std::string> pending;  // files; none: all pending of the realm
  std::vector<std::string> keys;
  std::vector<int> passphrase_fds;
  bool yes = false;
};
int run_sign(const Global&, const SignOptions&);
int run_merge(const Global&, const std::vector<std::string>& files);
int run_status(const Global&);
int run_explain(const Global&, const std::string& file);
int run_accept(const Global&, const std::vector<std::string>& files);
int run_discard(const Global&, const std::string& file);

struct ImportOptions {
  std::vector<std::string> files;
  bool national = false;
  std::string provinces, communes, ministries;
  std::string effective, by;
  SignWith sign_with;
};
int run_import(const Global&, const ImportOptions&);

struct PublishOptions {
  std::string broker, server_key;  // none: every broker in the directory
  std::string key;
  std::vector<int> passphrase_fds;
  Duration timeout = seconds(20);
};
int run_publish(const Global&, const PublishOptions&);

struct LookOptions {
  std::string text, code, branch, level, province, parent, at;
  size_t limit = 50;
};
int run_list(const Global&, const LookOptions&);
int run_show(const Global&, const LookOptions&);

// ---- pieces that the commands share -------------------------------------------------------------------------

/// Who signs: "" the root officers, else a registrar (id or name) or an agency (code).
Result<PartyId> signing_party(RealmFolder&, const std::string& by, Time now);
/// Proposes the changes, prints what they are and what comes next; with keys signs and accepts at once.
/// `urgent`: goes before what is pending; that is chained anew behind it and loses its signatures.
Result<void> finish_proposal(const Global&, RealmFolder&, const std::vector<proto::Change>&, const PartyId& registrar,
                             const SignWith&, bool urgent = false);
/// Signs the first `keys` and accepts every pending entry; practice realms only.
Result<void> sign_and_accept(RealmFolder&, const SignWith&);
/// Prints at most `lines_max` sentences of an entry to standard output.
void print_entry(const Global&, const proto::EntryPayload&, const directory::NameOf&, size_t lines_max);
Result<std::string> read_text(const std::string& path, size_t bytes_max);

}  // namespace tram::authority
