#include "common/pickle/python2_names.h"

#include "absl/container/flat_hash_map.h"

namespace cairn {
namespace {

using Modules = absl::flat_hash_map<absl::string_view, absl::string_view>;
using Names = absl::flat_hash_map<PickledName, PickledName>;

const Modules& MovedModules() {
  static const Modules* const modules = new Modules({
      {"BaseHTTPServer", "http.server"},
      {"CGIHTTPServer", "http.server"},
      {"ConfigParser", "configparser"},
      {"Cookie", "http.cookies"},
      {"Dialog", "tkinter.dialog"},
      {"DocXMLRPCServer", "xmlrpc.server"},
      {"FileDialog", "tkinter.filedialog"},
      {"HTMLParser", "html.parser"},
      {"Queue", "queue"},
      {"ScrolledText", "tkinter.scrolledtext"},
      {"SimpleDialog", "tkinter.simpledialog"},
      {"SimpleHTTPServer", "http.server"},
      {"SimpleXMLRPCServer", "xmlrpc.server"},
      {"SocketServer", "socketserver"},
      {"StringIO", "io"},
      {"Tix", "tkinter.tix"},
      {"Tkconstants", "tkinter.constants"},
      {"Tkdnd", "tkinter.dnd"},
      {"Tkinter", "tkinter"},
      {"UserDict", "collections"},
      {"UserList", "collections"},
      {"UserString", "collections"},
      {"__builtin__", "builtins"},
      {"_abcoll", "collections.abc"},
      {"_elementtree", "xml.etree.ElementTree"},
      {"_winreg", "winreg"},
      {"anydbm", "dbm"},
      {"cPickle", "pickle"},
      {"cStringIO", "io"},
      {"commands", "subprocess"},
      {"cookielib", "http.cookiejar"},
      {"copy_reg", "copyreg"},
      {"dbhash", "dbm.bsd"},
      {"dbm", "dbm.ndbm"},
      {"dumbdbm", "dbm.dumb"},
      {"dummy_thread", "_dummy_thread"},
      {"exceptions", "builtins"},
      {"gdbm", "dbm.gnu"},
      {"htmlentitydefs", "html.entities"},
      {"httplib", "http.client"},
      {"markupbase", "_markupbase"},
      {"repr", "reprlib"},
      {"robotparser", "urllib.robotparser"},
      {"test.test_support", "test.support"},
      {"thread", "_thread"},
      {"tkColorChooser", "tkinter.colorchooser"},
      {"tkCommonDialog", "tkinter.commondialog"},
      {"tkFileDialog", "tkinter.filedialog"},
      {"tkFont", "tkinter.font"},
      {"tkMessageBox", "tkinter.messagebox"},
      {"tkSimpleDialog", "tkinter.simpledialog"},
      {"ttk", "tkinter.ttk"},
      {"urllib2", "urllib.request"},
      {"urlparse", "urllib.parse"},
      {"whichdb", "dbm"},
      {"xmlrpclib", "xmlrpc.client"},
  });
  return *modules;
}

const Names& MovedNames() {
  static const Names* const names = new Names({
      {{"UserDict", "IterableUserDict"}, {"collections", "UserDict"}},
      {{"__builtin__", "basestring"}, {"builtins", "str"}},
      {{"__builtin__", "intern"}, {"sys", "intern"}},
      {{"__builtin__", "long"}, {"builtins", "int"}},
      {{"__builtin__", "reduce"}, {"functools", "reduce"}},
      {{"__builtin__", "unichr"}, {"builtins", "chr"}},
      {{"__builtin__", "unicode"}, {"builtins", "str"}},
      {{"__builtin__", "xrange"}, {"builtins", "range"}},
      {{"_multiprocessing", "Connection"}, {"multiprocessing.connection", "Connection"}},
      {{"_socket", "fromfd"}, {"socket", "fromfd"}},
      {{"exceptions", "StandardError"}, {"builtins", "Exception"}},
      {{"itertools", "ifilter"}, {"builtins", "filter"}},
      {{"itertools", "ifilterfalse"}, {"itertools", "filterfalse"}},
      {{"itertools", "imap"}, {"builtins", "map"}},
      {{"itertools", "izip"}, {"builtins", "zip"}},
      {{"itertools", "izip_longest"}, {"itertools", "zip_longest"}},
      {{"multiprocessing", "AuthenticationError"}, {"multiprocessing.context", "AuthenticationError"}},
      {{"multiprocessing", "BufferTooShort"}, {"multiprocessing.context", "BufferTooShort"}},
      {{"multiprocessing", "ProcessError"}, {"multiprocessing.context", "ProcessError"}},
      {{"multiprocessing", "TimeoutError"}, {"multiprocessing.context", "TimeoutError"}},
      {{"multiprocessing.forking", "Popen"}, {"multiprocessing.popen_fork", "Popen"}},
      {{"multiprocessing.process", "Process"}, {"multiprocessing.context", "Process"}},
      {{"socket", "_socketobject"}, {"socket", "SocketType"}},
      {{"urllib", "ContentTooShortError"}, {"urllib.error", "ContentTooShortError"}},
      {{"urllib", "getproxies"}, {"urllib.request", "getproxies"}},
      {{"urllib", "pathname2url"}, {"urllib.request", "pathname2url"}},
      {{"urllib", "quote"}, {"urllib.parse", "quote"}},
      {{"urllib", "quote_plus"}, {"urllib.parse", "quote_plus"}},
      {{"urllib", "unquote"}, {"urllib.parse", "unquote"}},
      {{"urllib", "unquote_plus"}, {"urllib.parse", "unquote_plus"}},
      {{"urllib", "url2pathname"}, {"urllib.request", "url2pathname"}},
      {{"urllib", "urlcleanup"}, {"urllib.request", "urlcleanup"}},
      {{"urllib", "urlencode"}, {"urllib.parse", "urlencode"}},
      {{"urllib", "urlopen"}, {"urllib.request", "urlopen"}},
      {{"urllib", "urlretrieve"}, {"urllib.request", "urlretrieve"}},
      {{"urllib2", "HTTPError"}, {"urllib.error", "HTTPError"}},
      {{"urllib2", "URLError"}, {"urllib.error", "URLError"}},
  });
  return *names;
}

}  // namespace

PickledName FromPython2Name(PickledName name) {
  if (const auto moved = MovedNames().find(name); moved != MovedNames().end()) return moved->second;
  if (const auto moved = MovedModules().find(name.first); moved != MovedModules().end()) {
    return {moved->second, name.second};
  }
  return name;
}

PickledName ToPython2Name(PickledName name) {
  PickledName old = name;
  if (name.first == "builtins") {
    old.first = "__builtin__";
  } else if (name.first == "copyreg") {
    old.first = "copy_reg";
  } else if (name.first == "dbm") {  // Python 2 has another module of that name.
    old.first = "anydbm";
  }
  return FromPython2Name(old) == name ? old : name;
}

}  // namespace cairn
