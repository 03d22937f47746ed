// The files of a node's home: node.toml, keys.tram, enrol.request, store/, bodies/, api.sock, tokens, and between renew-keys
// and accept keys-next.tram and renew.request; and the two commands that make one: init and accept.
// Thread: main, before the loop.
#pragma once
#include "directory/io/daemon/home.h"

namespace tram::node {

struct InitOptions {
  daemon::NewHome home;
  std::string name;
  std::string organ_code;
};
/// daemon::make_home for a node.
Result<std::string> init_home(const InitOptions&);

/// Takes the authority's approval: checks it against the request and the keys, applies the whole directory snapshot.
/// `realm`, when given, must be the approval's. The answer to a renewal is for the store that is here: then the keys are
/// changed. Errors: wrong_realm, bad_signature, bad_request (another request).
Result<daemon::Accepted> accept_approval(const std::string& directory, const std::string& approval_file, const io::UnlockSource&,
                                         const std::optional<RealmId>& realm);

std::string config_path(const std::string& home);

}  // namespace tram::node
