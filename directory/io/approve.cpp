// approve, approval: from an enrolment request to a member of the realm.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/io/clock.h"
#include "base/io/system_random.h"
#include "base/limits.h"
#include "directory/import.h"
#include "directory/io/commands.h"

namespace tram::authority {
namespace {

namespace fs = std::filesystem;

struct Request {
  std::string path;
  proto::EnrolRequestPayload payload;
  Hash hash;
  std::string code;
};

Result<Request> read_request(const std::string& path) {
  TRAM_TRY(bytes, io::read_file(path, limits::enrol_request_bytes_max));
  TRAM_TRY(request, proto::decode_enrol_request(bytes));
  TRAM_TRY(payload, directory::check_enrol_request(request));
  const Hash hash = directory::enrol_request_hash(request.payload);
  return Request{path, std::move(payload), hash, directory::short_code(hash)};
}

/// Upper case without what people put between groups; Crockford reads O as 0, I and L as 1.
std::string plain_code(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    if (c == 'O') c = '0';
    if (c == 'I' || c == 'L') c = '1';
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')) out += c;
  }
  return out;
}

Result<proto::Change> node_change(RealmFolder& folder, const ApproveOptions& options, const Request& request, Time now,
                                  Time effective) {
  const std::string code = options.as_code.empty() ? request.payload.organ_code : options.as_code;
  auto known = options.id.empty() ? folder.find_code(code, now) : PartyId::parse(options.id);
  proto::Agency record;
  if (known) {
    auto found = folder.latest_record(*known, now);
    if (!found) return fail(ErrorCode::unknown_agency, options.id);
    record = std::move(*found);
  } else {
    if (!options.create)
      return fail(ErrorCode::unknown_agency,
                  "\"" + code + "\" of " + request.path + ": name the agency with --as CODE, or add it with --new");
    if (code.empty()) return fail(ErrorCode::bad_request, "the request names no code: give --as CODE");
    record.id = io::SystemRandom().id<PartyId>();
    record.codes.push_back({code, {}, {}});
    record.name_vi = options.name.empty() ? request.payload.name : options.name;
    const auto branch = proto::parse_branch(options.branch.empty() ? "government" : options.branch);
    const auto level = proto::parse_level(options.level.empty() ? "central" : options.level);
    if (!branch || !level) return fail(ErrorCode::bad_request, "--branch or --level");
    record.branch = *branch;
    record.level = *level;
    record.province = options.province;
    if (!options.parent.empty()) {
      const auto parent = folder.find_code(options.parent, now);
      if (!parent) return fail(ErrorCode::unknown_agency, options.parent);
      record.parent = *parent;
    }
  }
  if (record.keys == request.payload.keys) return fail(ErrorCode::conflict, code + " has these keys already");
  if (record.keys && !options.replace_keys)
    return fail(ErrorCode::conflict, code + " has other keys: with --replace-keys its present node loses its place");
  record.keys = request.payload.keys;
  return proto::Change{effective, proto::AgencyChange{std::move(record)}};
}

proto::Change broker_change(const ApproveOptions& options, const Request& request, Time effective) {
  proto::BrokerChange broker;
  broker.id = PartyId::parse(options.id).value_or(io::SystemRandom().id<PartyId>());
  broker.name = options.name.empty() ? request.payload.name : options.name;
  broker.failure_domain = request.payload.failure_domain;
  broker.control_endpoint = request.payload.control_endpoint;
  broker.bulk_endpoint = request.payload.bulk_endpoint;
  broker.sig = request.payload.keys.sig;
  broker.log = request.payload.keys.log;
  broker.curve = request.payload.keys.curve;
  return {effective, broker};
}

proto::Change witness_change(const ApproveOptions& options, const Request& request, Time effective) {
  proto::WitnessChange witness;
  witness.id = PartyId::parse(options.id).value_or(io::SystemRandom().id<PartyId>());
  witness.name = options.name.empty() ? request.payload.name : options.name;
  witness.organisation = request.payload.failure_domain;
  witness.log = request.payload.keys.log;
  witness.curve = request.payload.keys.curve;
  return {effective, witness};
}

Result<proto::Change> change_of(RealmFolder& folder, const ApproveOptions& options, const Request& request, Time now,
                                Time effective) {
  if (request.payload.kind == proto::EnrolKind::broker) return broker_change(options, request, effective);
  if (request.payload.kind == proto::EnrolKind::witness) return witness_change(options, request, effective);
  return node_change(folder, options, request, now, effective);
}

Result<void> check_code_by_hand(const Global& global, const ApproveOptions& options, const Request& request) {
  std::string given = options.code;
  if (given.empty()) {
    std::printf("%s: \"%s\" %s\n", request.path.c_str(), request.payload.name.c_str(),
                request.payload.organ_code.c_str());
    TRAM_TRY(typed, ask(global.vietnamese ? "Gõ mã mà người lập yêu cầu đọc: "
                                          : "Type the code that the operator reads out: "));
    given = std::move(typed);
  }
  if (plain_code(given) != plain_code(request.code))
    return fail(ErrorCode::bad_signature,
                "the code does not match this request: it may have been exchanged on the way");
  return {};
}

/// Codes by organ code, name or file, from a sheet of lines "WHO,CODE".
Result<std::map<std::string, std::string>> read_sheet(const std::string& path) {
  TRAM_TRY(text, read_text(path, limits::json_body_bytes_max));
  TRAM_TRY(table, directory::CsvTable::parse("who,code\n" + text));
  std::map<std::string, std::string> sheet;
  for (size_t row = 0; row < table.rows(); ++row) sheet[table.at(row, "who")] = table.at(row, "code");
  return sheet;
}

Result<std::vector<std::string>> request_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const auto extension = it->path().extension();
    if (it->is_regular_file() && (extension == ".request" || extension == ".enrol"))
      files.push_back(it->path().string());
  }
  if (error) return fail(ErrorCode::io_failed, folder);
  std::sort(files.begin(), files.end());
  return files;
}

bool on_sheet(const std::map<std::string, std::string>& sheet, const Request& request) {
  const fs::path path(request.path);
  for (const std::string& who : {request.payload.organ_code, request.payload.name, path.filename().string(),
                                 path.stem().string(), path.parent_path().filename().string()}) {
    const auto found = sheet.find(who);
    if (!who.empty() && found != sheet.end() && plain_code(found->second) == plain_code(request.code)) return true;
  }
  return false;
}

Result<void> approve(const Global& global, const ApproveOptions& options) {
  const Time now = io::wall_now();
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  TRAM_TRY(effective, parse_moment(options.effective, now));
  TRAM_TRY(registrar, signing_party(*folder, options.by, now));
  std::vector<proto::Change> changes;
  std::vector<std::string> left_out;
  if (!options.batch.empty()) {
    if (options.code_sheet.empty()) return fail(ErrorCode::bad_request, "--batch needs --code-sheet");
    TRAM_TRY(sheet, read_sheet(options.code_sheet));
    TRAM_TRY(files, request_files(options.batch));
    Progress progress("approve", files.size());
    for (size_t i = 0; i < files.size(); ++i) {
      progress.step(i + 1);
      auto request = read_request(files[i]);
      if (!request)
        left_out.push_back(files[i] + ": " + describe(request.error()));
      else if (!on_sheet(sheet, *request))
        left_out.push_back(files[i] + ": " + request->code + " is not on the sheet");
      else if (auto change = change_of(*folder, options, *request, now, effective))
        changes.push_back(std::move(*change));
      else
        left_out.push_back(describe(change.error()));
    }
  }
  for (const std::string& file : options.requests) {
    TRAM_TRY(request, read_request(file));
    TRAM_OK(check_code_by_hand(global, options, request));
    TRAM_TRY(change, change_of(*folder, options, request, now, effective));
    changes.push_back(std::move(change));
  }
  for (const std::string& line : left_out)
    std::fprintf(stderr, "%s %s\n", global.vietnamese ? "bỏ qua:" : "left out:", line.c_str());
  if (changes.empty()) return fail(ErrorCode::not_found, "no request to approve");
  TRAM_OK(finish_proposal(global, *folder, changes, registrar, options.sign_with));
  if (!left_out.empty())
    return fail(ErrorCode::bad_request, std::to_string(left_out.size()) + " requests were left out");
  return {};
}

Result<void> approval(const Global& global, const std::string& file, const std::string& out) {
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  TRAM_TRY(request, read_request(file));
  const auto& directory = folder->directory();
  TRAM_TRY(party, directory.key_holder(folder->txn(), request.payload.keys.curve));
  // A witness signs with its LOG key alone; the directory does not know its SIG key.
  const SigPublic named = request.payload.kind == proto::EnrolKind::witness ? SigPublic{request.payload.keys.log.bytes}
                                                                             : request.payload.keys.sig;
  TRAM_TRY(by_sig, directory.key_holder(folder->txn(), named));
  if (!party || party != by_sig)
    return fail(ErrorCode::wrong_state,
                "the directory does not have these keys: approve the request, sign and accept first");
  proto::Approval approval;
  approval.realm = directory.realm();
  approval.party = *party;
  approval.request = request.hash;
  TRAM_TRY(entries, directory.entries(folder->txn(), 0, limits::approval_bytes_max));
  approval.entries = std::move(entries);
  if (approval.entries.size() != directory.size())
    return fail(ErrorCode::too_large, "the directory no longer fits an approval file");
  TRAM_OK(write_public_file(out, proto::encode_approval(approval)));
  if (global.json)
    std::printf("{\"party\":\"%s\",\"out\":\"%s\"}\n", party->hex().c_str(), out.c_str());
  else
    std::printf(global.vietnamese ? "Đã ghi %s cho \"%s\". Chuyển tệp này lại cho người vận hành.\n"
                                  : "Wrote %s for \"%s\". Carry it back to the operator.\n",
                out.c_str(), folder->name_of(*party, io::wall_now()).c_str());
  return {};
}

}  // namespace

int run_approve(const Global& global, const ApproveOptions& options) {
  auto done = approve(global, options);
  return done ? 0 : report(done.error(), global);
}

int run_approval(const Global& global, const std::string& request, const std::string& out) {
  auto done = approval(global, request, out);
  return done ? 0 : report(done.error(), global);
}

}  // namespace tram::authority
