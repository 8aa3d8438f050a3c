#include "extension/pg/raise.h"

namespace pgquorum::pg {

void FillErrorText(ErrorText& text, const Status& status) {
  strlcpy(text.sqlstate, status.sqlstate().c_str(), sizeof(text.sqlstate));
  strlcpy(text.message, status.message().c_str(), sizeof(text.message));
  strlcpy(text.detail, status.detail().c_str(), sizeof(text.detail));
  strlcpy(text.hint, status.hint().c_str(), sizeof(text.hint));
}

void Report(int level, const ErrorText& text) {
  const char* s = text.sqlstate;
  ereport(level, (errcode(MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4])),
                  errmsg_internal("%s", text.message),
                  text.detail[0] != '\0' ? errdetail_internal("%s", text.detail) : 0,
                  text.hint[0] != '\0' ? errhint("%s", text.hint) : 0));
}

void Raise(const ErrorText& text) {
  Report(ERROR, text);
  pg_unreachable();
}

}  // namespace pgquorum::pg
