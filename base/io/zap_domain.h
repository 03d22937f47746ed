// The ZAP domain that every server socket sets and the authority answers for. Private to link.cpp and zap.cpp.
#pragma once

namespace tram::io {
inline constexpr char zap_domain[] = "tram";
}
