/*
 * chancery.h: end-to-end encrypted messaging that an organisation owns. Link with -lchancery; made by cbindgen from crates/ffi, do not edit.
 *
 * A WHOLE PROGRAM. It says something to Bob, and shows what he answers. `enrolled` is made once by `chancery enroll --home enrolled
 * --key-file enrolled.key LINK`, or by chancery_client_new_enrolled.
 *
 *     chancery_key *key = NULL; chancery_client *client = NULL; chancery_event *event = NULL; chancery_string *json = NULL, *sent = NULL;
 *     uint64_t number;
 *     chancery_code code = chancery_key_new_file(chancery_text("enrolled.key"), false, &key);
 *     if (!code) code = chancery_client_new(chancery_text("enrolled"), key, &client);
 *     if (!code) code = chancery_client_follow(client);
 *     if (!code) code = chancery_client_send(client, chancery_text("bob"), chancery_text("Tea?"), NULL, 0, 30000, &sent);
 *     if (!code) code = chancery_client_next_event(client, 60000, &event);
 *     if (!code) code = chancery_event_json(event, &json);
 *     if (!code) puts(chancery_string_data(json));
 *     if (!code && !chancery_event_number(event, &number)) chancery_client_take_events(client, number);
 *     if (code) fprintf(stderr, "%s: %s\n", chancery_strerror(code), chancery_last_detail());
 *     chancery_string_free(sent); chancery_string_free(json); chancery_event_free(event); chancery_client_free(client); chancery_key_free(key);
 *
 * examples/c/chat.c is a program that is of use.
 *
 * OWNERSHIP. What a function hands out (`out_...`, and every `chancery_..._new`) is yours until the function that ends in `_free` and has its
 * name; freeing NULL, or the same again, does nothing. Handles do not depend on each other: a key may be freed once a client is open, and events
 * and pages outlive their client. What is handed in stays yours, and is needed only until the function returns. Outputs are written only if
 * the code is CHANCERY_OK; they are never read, so they may hold anything before.
 *
 * HANDLES are no addresses. One that was freed gives CHANCERY_HANDLE_CLOSED, one of another kind or a wild pointer CHANCERY_WRONG_HANDLE, and
 * nothing is touched; no handle is ever given out twice. All other pointers must be what they are said to be.
 *
 * ERRORS. Every function that can fail returns a code: CHANCERY_OK, which is 0, or one of the numbers below, which are those of every
 * language and never change. chancery_strerror says it to people, chancery_code_name to programs, chancery_last_detail says what it lay in, and
 * chancery_is_retryable whether waiting helps. errno means nothing here. NULL where it is not allowed is CHANCERY_NULL_ARGUMENT, always. A panic
 * of the library, which is a bug, is caught: the call returns CHANCERY_PANICKED, as every later one with this client does; free it.
 *
 * TEXT is UTF-8, and goes in with its length: chancery_text("...") for a string of C. What comes out is a chancery_string, with a NUL behind it:
 * mostly JSON, of exactly the form that the command `chancery ... --json` prints. Fields may be added to it; ignore those that you do not know.
 *
 * TIME is in milliseconds. 0 does not wait, and CHANCERY_FOREVER does so for ever.
 *
 * THREADS. Each function says from which threads it may be called; mostly from any, and from many at once with the same client. Each client has
 * threads of its own. chancery_client_close wakes whoever waits. Callbacks are called on other threads, and must not call functions of a
 * client: those return CHANCERY_WITHIN_CALLBACK. After fork, only the process that made a client may use it.
 *
 * EVENTS come through chancery_client_next_event, from a thread that waits there, or from a loop that polls chancery_client_fd. An event that was
 * not taken (chancery_client_take_events) when a program was killed comes again, with the same identifiers: act, then take. Only that
 * somebody is writing is kept nowhere.
 *
 * THE FUNCTIONS stand in the order in which one learns of them: texts, the library, keys; a client, sending, events; replies, edits, reactions and
 * forms; conversations, histories, what others are told; groups; members, the organisation and one's own devices. `with` names a conversation,
 * by a member or a group, and `message` a message of it.
 *
 * ENDING. chancery_client_close, then join the threads that use the client, then chancery_client_free. In any other order nothing
 * breaks either.
 */

#ifndef CHANCERY_H
#define CHANCERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#define CHANCERY_VERSION "0.1.0"
#define CHANCERY_VERSION_MAJOR 0
#define CHANCERY_VERSION_MINOR 1
#define CHANCERY_VERSION_PATCH 0

/** As a time: for ever. */
#define CHANCERY_FOREVER UINT32_MAX

/** What a chancery_code is. The numbers never change; there may be more in later versions. */
enum {
  /** Everything went well. */
  CHANCERY_OK = 0,
  /** internal error: a bug in the library; open the store again, and report it. */
  CHANCERY_INTERNAL = 1,
  /** the operating system gives no randomness. */
  CHANCERY_NO_RANDOMNESS = 2,
  /** wrong arguments; the text behind this, or the documentation of the call, says which. */
  CHANCERY_USAGE = 3,
  /** there is no device or organisation here. */
  CHANCERY_STORE_NOT_FOUND = 100,
  /** wrong passphrase or key file. */
  CHANCERY_WRONG_PASSPHRASE = 101,
  /** the store was written by a newer version; update. */
  CHANCERY_STORE_NEWER = 102,
  /** the store is damaged; enrol the device anew, and remove the old one. */
  CHANCERY_STORE_DAMAGED = 103,
  /** the disk is full; nothing was changed. */
  CHANCERY_DISK_FULL = 104,
  /** another process or call has held the store for too long; try again, and end that process if it hangs. */
  CHANCERY_STORE_BUSY = 105,
  /** the store cannot be read or written; check the permissions of its folder and the disk. */
  CHANCERY_STORE_UNREADABLE = 106,
  /** there is something at this place already. */
  CHANCERY_ALREADY_EXISTS = 107,
  /** the key file cannot be used. */
  CHANCERY_KEY_FILE_UNUSABLE = 108,
  /** there is no passphrase and nobody to ask for one. */
  CHANCERY_NO_PASSPHRASE = 109,
  /** this device is not enrolled. */
  CHANCERY_NOT_ENROLLED = 200,
  /** this home is enrolled already. */
  CHANCERY_ALREADY_ENROLLED = 201,
  /** the link is damaged or incomplete. */
  CHANCERY_INVITATION_DAMAGED = 202,
  /** the link has expired; ask for a new one. */
  CHANCERY_INVITATION_EXPIRED = 203,
  /** the link was used already; ask for a new one. */
  CHANCERY_INVITATION_USED = 204,
  /** the organisation does not know this invitation. */
  CHANCERY_INVITATION_UNKNOWN = 205,
  /** the invitation is of a newer version; update. */
  CHANCERY_INVITATION_VERSION = 206,
  /** the enrolment desk does not answer; try again later. */
  CHANCERY_DESK_UNAVAILABLE = 207,
  /** what the relay handed out is not authentic. */
  CHANCERY_NOT_AUTHENTIC = 208,
  /** no other device of yours has approved this one yet. */
  CHANCERY_NOT_APPROVED = 209,
  /** no device waits with this code; compare it with the one on the new device. */
  CHANCERY_DEVICE_REQUEST_UNKNOWN = 210,
  /** the member has 16 devices already; remove one first. */
  CHANCERY_TOO_MANY_DEVICES = 211,
  /** you have no other device of this identifier. */
  CHANCERY_DEVICE_UNKNOWN = 212,
  /** this device was removed by another of your devices. */
  CHANCERY_DEVICE_REMOVED = 213,
  /** the enrolment desk refuses; make a new link and try again. */
  CHANCERY_ORDER_REFUSED = 214,
  /** the relay cannot be reached. */
  CHANCERY_RELAY_UNREACHABLE = 300,
  /** the relay's key is not the one that was pinned. */
  CHANCERY_WRONG_RELAY = 301,
  /** the relay serves another organisation. */
  CHANCERY_WRONG_ORGANISATION = 302,
  /** the relay refuses this device: check this machine's clock, and ask whether the device was removed. */
  CHANCERY_RELAY_NOT_AUTHORISED = 303,
  /** the relay does not have it. */
  CHANCERY_RELAY_NOT_FOUND = 304,
  /** a quota of the relay is used up. */
  CHANCERY_QUOTA_EXCEEDED = 305,
  /** too many requests; wait a little. */
  CHANCERY_RATE_LIMITED = 306,
  /** the relay's disk is full. */
  CHANCERY_RELAY_FULL = 307,
  /** the relay does not speak this version; update. */
  CHANCERY_RELAY_VERSION = 308,
  /** the relay breaks the protocol; tell its operator, and update. */
  CHANCERY_RELAY_PROTOCOL = 309,
  /** the relay's address is not of the form wss://host:port. */
  CHANCERY_RELAY_URL = 310,
  /** the address cannot be listened on. */
  CHANCERY_LISTEN_FAILED = 311,
  /** the relay refuses the request. */
  CHANCERY_RELAY_REFUSED = 312,
  /** the relay has something else under this name; try again. */
  CHANCERY_RELAY_CONFLICT = 313,
  /** the relay cannot do this at the moment; try again later. */
  CHANCERY_RELAY_UNAVAILABLE = 314,
  /** there was not enough time; what was done stays. */
  CHANCERY_TIMED_OUT = 315,
  /** the relay asks for a newer delivery token than this device has; it is sent as soon as that is here. */
  CHANCERY_TOKEN_REFUSED = 316,
  /** the relay signs the log with another key than was named. */
  CHANCERY_WRONG_LOG_KEY = 330,
  /** nobody of that name is in the directory. */
  CHANCERY_UNKNOWN_RECIPIENT = 400,
  /** the message exceeds a limit. */
  CHANCERY_MESSAGE_TOO_LARGE = 401,
  /** too many messages wait for the relay. */
  CHANCERY_QUEUE_FULL = 402,
  /** the message is stored and will be sent as soon as that is possible. */
  CHANCERY_QUEUED = 403,
  /** the message cannot be sent. */
  CHANCERY_SEND_FAILED = 404,
  /** the recipient's device cannot be written to yet. */
  CHANCERY_RECIPIENT_NOT_READY = 405,
  /** the organisation lets you and this recipient exchange nothing. */
  CHANCERY_OUT_OF_REACH = 430,
  /** the recipient's credential has expired. */
  CHANCERY_CREDENTIAL_EXPIRED = 431,
  /** file not found. */
  CHANCERY_FILE_NOT_FOUND = 500,
  /** file cannot be read or written. */
  CHANCERY_FILE_UNREADABLE = 501,
  /** the attachment is damaged and was not saved. */
  CHANCERY_ATTACHMENT_DAMAGED = 502,
  /** the relay does not have the attachment any more. */
  CHANCERY_ATTACHMENT_GONE = 503,
  /** the handle is taken. */
  CHANCERY_HANDLE_TAKEN = 600,
  /** a handle has 1 to 64 of a-z 0-9 . _ - and is not 32 hexadecimal digits; a name has 1 to 128 characters. */
  CHANCERY_NAME_NOT_ALLOWED = 601,
  /** it is not recorded where the relay is; record that first. */
  CHANCERY_RELAY_NOT_RECORDED = 602,
  /** the relay's log refuses a statement of the organisation; what follows it waits. */
  CHANCERY_STATEMENT_REFUSED = 603,
  /** the desk's keys are not valid now; renew the desk, or set the clock. */
  CHANCERY_DESK_EXPIRED = 604,
  /** these keys may not sign this. */
  CHANCERY_KEYS_NOT_PERMITTED = 605,
  /** this is not the organisation's newest root. */
  CHANCERY_ROOT_NOT_NEWEST = 606,
  /** the organisation has no such issuer. */
  CHANCERY_ISSUER_UNKNOWN = 607,
  /** the desk signs with this issuer; renew the desk first. */
  CHANCERY_ISSUER_IN_USE = 608,
  /** the organisation has as many of these as it may have. */
  CHANCERY_TOO_MANY_ISSUERS = 609,
  /** a policy has a freshness and an offline time of at least 1h and 1 to 16 devices. */
  CHANCERY_POLICY_OUT_OF_RANGE = 610,
  /** the offboarding is not verified. */
  CHANCERY_NOT_OFFBOARDED = 611,
  /** a record of an administrative act was changed. */
  CHANCERY_ACT_CHANGED = 612,
  /** the relay's log does not verify. */
  CHANCERY_LOG_NOT_BELIEVED = 613,
  /** it is stored, and enters the log as soon as the relay can be reached. */
  CHANCERY_STATEMENT_QUEUED = 614,
  /** the share is damaged or incomplete; compare it with the paper. */
  CHANCERY_SHARE_DAMAGED = 620,
  /** the share is of a newer version; update. */
  CHANCERY_SHARE_VERSION = 621,
  /** there are not enough shares. */
  CHANCERY_SHARES_TOO_FEW = 622,
  /** the shares are of different splits or organisations. */
  CHANCERY_SHARES_MIXED = 623,
  /** a share was given twice; bring another one. */
  CHANCERY_SHARE_DOUBLED = 624,
  /** the shares do not open the root's file. */
  CHANCERY_SHARES_WRONG = 625,
  /** the list has faults; nobody was invited. */
  CHANCERY_LIST_INVALID = 626,
  /** no other issuer could sign this; name another one first, or confirm that nobody shall. */
  CHANCERY_LAST_ISSUER = 640,
  /** the statement cannot be dropped. */
  CHANCERY_NOT_DROPPABLE = 641,
  /** the offboarding is not complete. */
  CHANCERY_OFFBOARDING_INCOMPLETE = 642,
  /** a guest reaches 1 to 256 members, none of them a guest; a bot as many or all; other people have no reach. */
  CHANCERY_REACH_NOT_ALLOWED = 643,
  /** guests and bots are invited for 1 to 730 days, others without a limit; whose time is over must be invited anew. */
  CHANCERY_VALIDITY_NOT_ALLOWED = 644,
  /** the organisation has 1000 guests and bots; offboard some first. */
  CHANCERY_TOO_MANY_GUESTS = 645,
  /** a guest or bot needs an owner, who is a member of the organisation and neither guest nor bot; nobody else has one. */
  CHANCERY_OWNER_NOT_ALLOWED = 646,
  /** the organisation's log is forked, and nothing is sent any more; show the proof to your administrator. */
  CHANCERY_LOG_FORKED = 700,
  /** the organisation's log was rolled back; nothing is sent until it is whole. */
  CHANCERY_LOG_ROLLED_BACK = 701,
  /** the relay withholds entries of the organisation's log; nothing is sent until it shows them. */
  CHANCERY_LOG_WITHHELD = 702,
  /** what the relay shows of the organisation's log is not valid. */
  CHANCERY_LOG_INVALID = 703,
  /** the organisation's log was not heard of for too long; nothing is sent until it was. */
  CHANCERY_LOG_STALE = 704,
  /** the organisation's log does not vouch for the device. */
  CHANCERY_UNLOGGED_CREDENTIAL = 705,
  /** the organisation has ended this device; what was on it is destroyed. */
  CHANCERY_REVOKED = 706,
  /** the organisation's policy does not allow it. */
  CHANCERY_POLICY_FORBIDS = 707,
  /** the organisation's policy locks this device until it has reached the relay. */
  CHANCERY_STORE_LOCKED = 708,
  /** this device is in no such group. */
  CHANCERY_GROUP_UNKNOWN = 800,
  /** your role in the group does not allow it. */
  CHANCERY_GROUP_NOT_ALLOWED = 801,
  /** somebody shows this group's members different commits; nothing is sent in it any more, show this to your administrator. */
  CHANCERY_GROUP_FORKED = 802,
  /** the group was dissolved. */
  CHANCERY_GROUP_DISSOLVED = 803,
  /** the group has changed, and this would change nothing or what is not there. */
  CHANCERY_GROUP_CONFLICT = 804,
  /** a limit of groups is exceeded. */
  CHANCERY_GROUP_LIMIT = 805,
  /** you are not in this group any more. */
  CHANCERY_GROUP_LEFT = 806,
  /** the group requires what this version does not know; update. */
  CHANCERY_GROUP_UNKNOWN_POLICY = 807,
  /** the group refuses it; the text behind this says why. */
  CHANCERY_GROUP_REFUSED = 808,
  /** several are called so; use the identifier. */
  CHANCERY_GROUP_AMBIGUOUS = 809,
  /** it is stored and will be done as soon as that is possible. */
  CHANCERY_GROUP_QUEUED = 810,
  /** the text is no order to a group, or is incomplete. */
  CHANCERY_ORDER_DAMAGED = 811,
  /** there is no such message here, or it was deleted. */
  CHANCERY_MESSAGE_UNKNOWN = 830,
  /** only its author can edit or delete a message. */
  CHANCERY_NOT_YOUR_MESSAGE = 831,
  /** the mention, reaction, form or answer is not valid. */
  CHANCERY_ACT_INVALID = 832,
  /** several messages begin like that; use more of the identifier. */
  CHANCERY_MESSAGE_AMBIGUOUS = 833,
  /** the client was closed; open it again. */
  CHANCERY_CLIENT_CLOSED = 860,
  /** an argument is NULL that must not be. */
  CHANCERY_NULL_ARGUMENT = 900,
  /** the library has failed within itself; this handle can only be freed. */
  CHANCERY_PANICKED = 901,
  /** the handle was closed or freed. */
  CHANCERY_HANDLE_CLOSED = 902,
  /** this is no handle, or one of another kind. */
  CHANCERY_WRONG_HANDLE = 903,
  /** the text is not UTF-8. */
  CHANCERY_NOT_UTF_8 = 904,
  /** nothing has happened in this time. */
  CHANCERY_NO_EVENT = 905,
  /** this cannot be called from within a callback. */
  CHANCERY_WITHIN_CALLBACK = 906,
  /** the buffer is too short. */
  CHANCERY_SHORT_BUFFER = 907,
  /** there is no account of this name. */
  CHANCERY_ACCOUNT_UNKNOWN = 910,
  /** there is an account of this name or with this home. */
  CHANCERY_ACCOUNT_EXISTS = 911,
  /** there is not exactly one account; name one. */
  CHANCERY_ACCOUNT_UNNAMED = 912,
  /** there are as many accounts as one process serves. */
  CHANCERY_ACCOUNT_LIMIT = 913,
  /** others than its owner could get at it. */
  CHANCERY_SOCKET_UNSAFE = 914,
  /** only addresses of this machine itself are listened on, 127.0.0.1 or ::1. */
  CHANCERY_NOT_LOOPBACK = 915,
  /** show the token first. */
  CHANCERY_TOKEN_MISSING = 916,
  /** too many requests at once; wait for answers. */
  CHANCERY_TOO_BUSY = 917,
  /** no event of this number was handed out. */
  CHANCERY_EVENT_UNKNOWN = 918,
  /** the request has an Origin, or its Host is not this machine: web pages are not served. */
  CHANCERY_ORIGIN_REFUSED = 919,
};


/**
 * The number that `chancery_abi_version` returns: it changes when a program that was built before must be built again.
 */
#define CHANCERY_ABI_VERSION 1

/**
 * A member's device: sends, receives, keeps history. Yours until `chancery_client_free`. It has a thread for the network and one for its
 * store, and nothing in common with other clients, of which a process may have many, also on the same home.
 */
typedef struct chancery_client chancery_client;

/**
 * Something that happened: a message, a member's new device, somebody who left, an act in a group. Yours until `chancery_event_free`.
 */
typedef struct chancery_event chancery_event;

/**
 * What a home is opened with. Yours until `chancery_key_free`, which wipes it; nothing else needs it after the call that it was given to.
 */
typedef struct chancery_key chancery_key;

/**
 * Up to 256 entries of a history. Yours until `chancery_page_free`.
 */
typedef struct chancery_page chancery_page;

/**
 * Text that was handed out, mostly JSON: yours until `chancery_string_free`.
 */
typedef struct chancery_string chancery_string;

/**
 * `CHANCERY_OK`, or the number of what went wrong: the same numbers in every language, never changed or reused.
 */
typedef uint32_t chancery_code;

/**
 * Text that is handed in: `len` bytes of UTF-8, which need no NUL at the end and stay the caller's. `chancery_text("…")` makes one of a
 * string of C. Where a secret or a file's content is meant, any bytes do.
 */
typedef struct {
  /**
   * The bytes. Must not be NULL, also if there are none.
   */
  const char *data;
  /**
   * How many.
   */
  size_t len;
} chancery_str;

/**
 * Is told the code that the person compares on the device that made a device link, and approves there. `code` holds until the function
 * returns. It is called on the thread that enrols; it must not call functions of any client.
 */
typedef void (*chancery_code_callback)(void *userdata, chancery_str code);

/**
 * Is told how far a file has come: `done` of `total` bytes. `name` holds until the function returns. It is called on a thread of the
 * library, or on one that waits in a call of the same client; it must not call functions of any client.
 */
typedef void (*chancery_progress_callback)(void *userdata, chancery_str name, uint64_t done, uint64_t total);

/**
 * Makes a chancery_str of a string of C, whose bytes are not copied. Of NULL it makes one that is refused.
 */
static inline chancery_str chancery_text(const char *text)
{
  chancery_str made;
  made.data = text;
  made.len = text ? strlen(text) : 0;
  return made;
}

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the text, with a NUL behind it; NULL if the handle is none or was freed. The pointer holds until `chancery_string_free`.
 *
 * Threads: any, at once.
 */
const char *chancery_string_data(const chancery_string *string);

/**
 * Returns how many bytes the text has without the NUL; 0 if the handle is none or was freed.
 *
 * Threads: any, at once.
 */
size_t chancery_string_len(const chancery_string *string);

/**
 * Copies the text and a NUL into a buffer of yours; `*out_needed` is the number of bytes that this takes. A buffer of 0 bytes, which may be
 * NULL, asks only for the number. A buffer that is too short is left as it is: CHANCERY_SHORT_BUFFER.
 *
 * Threads: any, at once.
 */
chancery_code chancery_string_copy(const chancery_string *string, char *buffer, size_t len, size_t *out_needed);

/**
 * Frees a text. NULL, and what was freed before, is left alone.
 *
 * Threads: any, but not while another reads what `chancery_string_data` has returned.
 */
void chancery_string_free(chancery_string *string);

/**
 * Returns the version of the library that runs, as "0.1.0". CHANCERY_VERSION is the one that was built against.
 *
 * Threads: any, at once.
 */
const char *chancery_version(void);

/**
 * Returns the version of the binary interface of the library that runs. If it is not CHANCERY_ABI_VERSION, build again.
 *
 * Threads: any, at once.
 */
uint32_t chancery_abi_version(void);

/**
 * Returns what a code says to a person, in English. Never NULL; the text is the library's and stays.
 *
 * Threads: any, at once.
 */
const char *chancery_strerror(chancery_code code);

/**
 * Returns a code's name, as in JSON: "ok", "relay-unreachable", "unknown". Never NULL; the text is the library's and stays.
 *
 * Threads: any, at once.
 */
const char *chancery_code_name(chancery_code code);

/**
 * Says whether the same call may succeed later without anybody changing anything.
 *
 * Threads: any, at once.
 */
bool chancery_is_retryable(chancery_code code);

/**
 * Returns what the last call of this thread that returned a code failed at: a path, a name, a limit; "" if there is nothing to say. Never a
 * secret. Never NULL; the text holds until this thread calls anything else of this library.
 *
 * Threads: any, at once; each has its own.
 */
const char *chancery_last_detail(void);

/**
 * Returns how many handles of all kinds this process has not freed: for tests, which look for 0 at their end.
 *
 * Threads: any, at once.
 */
size_t chancery_live_handles(void);

/**
 * Reads a key file, which must be of mode 0600. If there is none and `create` is true, makes one with a fresh key: who loses it has lost
 * the home.
 *
 * Threads: any, at once.
 */
chancery_code chancery_key_new_file(chancery_str path, bool create, chancery_key **out_key);

/**
 * Makes a key of a passphrase: the bytes as they are, so bring them to Unicode's form NFC first.
 *
 * Threads: any, at once.
 */
chancery_code chancery_key_new_passphrase(chancery_str passphrase, chancery_key **out_key);

/**
 * Makes a key of 32 random bytes, as from the key store of a system.
 *
 * Threads: any, at once.
 */
chancery_code chancery_key_new_bytes(chancery_str bytes, chancery_key **out_key);

/**
 * Wipes and frees a key. NULL, and what was freed before, is left alone.
 *
 * Threads: any.
 */
void chancery_key_free(chancery_key *key);

/**
 * Opens the home of an enrolled device. Nothing is sent yet.
 *
 * CHANCERY_STORE_NOT_FOUND, CHANCERY_NOT_ENROLLED: enrol first. CHANCERY_WRONG_PASSPHRASE: ask again. CHANCERY_REVOKED: the organisation has
 * ended the device, and nothing of it is left.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_new(chancery_str home,
                                  const chancery_key *key,
                                  chancery_client **out_client);

/**
 * Makes the folder `home` a device of the member that `link` is for, and opens it. If the link is a device link, the callback is told what to
 * approve on the other device; it may be NULL. If the process ends meanwhile, call again with the same link.
 *
 * CHANCERY_INVITATION_USED, CHANCERY_INVITATION_EXPIRED and others of 202 to 206: ask for another link. CHANCERY_DESK_UNAVAILABLE,
 * CHANCERY_RELAY_UNREACHABLE, CHANCERY_TIMED_OUT: try again later. CHANCERY_ALREADY_ENROLLED: use another folder.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_new_enrolled(chancery_str home,
                                           const chancery_key *key,
                                           chancery_str link,
                                           uint32_t patience_ms,
                                           void *userdata,
                                           chancery_code_callback callback,
                                           chancery_client **out_client);

/**
 * Ends what the client does in the background, and every call of it that waits, in whatever thread: they return CHANCERY_HANDLE_CLOSED within
 * moments, as does every later call. A message whose sending it interrupts may be stored or not: look in the history. Nothing that was
 * stored is lost. What is left to do is `chancery_client_free`.
 *
 * Threads: any, at once, also while others wait in a call of this client.
 */
chancery_code chancery_client_close(const chancery_client *client);

/**
 * Closes a client and frees it: its threads end with the last call that is under way. NULL, and what was freed before, is left alone.
 *
 * Threads: any, also while others wait in a call of this client.
 */
void chancery_client_free(chancery_client *client);

/**
 * Hands out who this device is: {"org_id","fingerprint","organisation","member","device","handle","name"}, as `chancery enroll --json` does.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_me(const chancery_client *client,
                                 chancery_string **out_json);

/**
 * Connects once, sends what waits, and takes over what has arrived; `*out_count` is how many envelopes that were. For programs that run now
 * and then; others call `chancery_client_follow`.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_sync(const chancery_client *client, uint32_t patience_ms, size_t *out_count);

/**
 * Keeps connected from now on, in the background and until the client is closed: what arrives is stored and becomes events, what waits is
 * sent, and a connection that is lost is made again. Returns at once; if that is so already, nothing changes. What waiting cannot mend ends it:
 * see `chancery_client_next_event`.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_follow(const chancery_client *client);

/**
 * Sends text and files, given by their paths, to a member, given by handle or identifier, and waits until the relay has them, `patience_ms` at
 * most. Hands out {"id","state"}: "sent", or "queued" if it is stored here and goes with whatever connects next; then there is also "waiting":
 * {"code","message","retry","cause"}, whose "cause" is the name of the code that says why, if that is known. Do not repeat a call that has
 * succeeded: it would be sent twice.
 *
 * CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_FILE_NOT_FOUND and most others: nothing was stored. CHANCERY_SEND_FAILED: it is refused for good.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_send(const chancery_client *client,
                                   chancery_str to,
                                   chancery_str text,
                                   const chancery_str *files,
                                   size_t file_count,
                                   uint32_t patience_ms,
                                   chancery_string **out_json);

/**
 * Names who is told how far files have come, both up and down; NULL for nobody. Once this returns, whoever was named before is not called any
 * more, and what was their `userdata` may go. At most one call is under way at a time.
 *
 * Threads: any, at once, but not from within a callback (CHANCERY_WITHIN_CALLBACK).
 */
chancery_code chancery_client_on_progress(const chancery_client *client,
                                          void *userdata,
                                          chancery_progress_callback callback);

/**
 * Waits for the next event, `timeout_ms` at most (0: not at all; CHANCERY_FOREVER), and hands it out: in their order, each once by this
 * handle. Until `chancery_client_take_events` they come again when the client is opened again, with the same identifiers. At most 256 are handed
 * out without being taken.
 *
 * CHANCERY_NO_EVENT: none came in time. CHANCERY_HANDLE_CLOSED: another thread has closed the client. Once `chancery_client_follow` has ended for
 * good, and all events were handed out: why it has. CHANCERY_STORE_LOCKED: the organisation's policy demands that the relay is reached first.
 *
 * Threads: any, at once; each event goes to one of them. `chancery_client_close` wakes them all.
 */
chancery_code chancery_client_next_event(const chancery_client *client,
                                         uint32_t timeout_ms,
                                         chancery_event **out_event);

/**
 * Says that all events up to and including this number were acted upon: they do not come again. 0 does nothing.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_take_events(const chancery_client *client, uint64_t number);

/**
 * Returns a descriptor for poll, select or epoll: it can be read as long as an event waits, when following has ended, and when the client
 * is closed. Do not read from it and do not close it: call `chancery_client_next_event` with a timeout of 0 until it says CHANCERY_NO_EVENT. It
 * may be ready without an event now and then. It ends with `chancery_client_free`.
 *
 * Threads: any, at once; all get the same.
 */
chancery_code chancery_client_fd(const chancery_client *client,
                                 int32_t *out_fd);

/**
 * Hands out the event's number, for `chancery_client_take_events`: they are counted from 1. That somebody is writing, or no longer
 * ({"event":"typing"}), is nowhere stored: its number is 0, it holds for 15 seconds, and it is handed out once or not at all.
 *
 * Threads: any, at once.
 */
chancery_code chancery_event_number(const chancery_event *event, uint64_t *out_number);

/**
 * Hands out the event as `chancery receive --json` prints it: what it is stands in "event". {"event":null} is of a later version.
 *
 * Threads: any, at once.
 */
chancery_code chancery_event_json(const chancery_event *event, chancery_string **out_json);

/**
 * Downloads file `file` (from 0, as in "files") of the message in an event into a folder, verifies it and hands out its path. What the
 * callback of `chancery_client_on_progress` is told, it is told meanwhile.
 *
 * CHANCERY_ATTACHMENT_DAMAGED, CHANCERY_ATTACHMENT_GONE: there is no hope for it. CHANCERY_POLICY_FORBIDS: the organisation does not allow it.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_save_file(const chancery_client *client,
                                        const chancery_event *event,
                                        size_t file,
                                        chancery_str folder,
                                        chancery_string **out_path);

/**
 * Frees an event. NULL, and what was freed before, is left alone.
 *
 * Threads: any.
 */
void chancery_event_free(chancery_event *event);

/**
 * Sends a message with all that one may have to a member, as `chancery_client_send` does. `message` is a JSON object; every field may be left out:
 *
 * ```json
 * {"text": "@bob, lunch?", "files": ["menu.pdf", {"path": "map.png", "media_type": "image/png", "preview": "BASE64"}],
 *  "reply_to": {"id": "32 digits", "from": "member's identifier"},
 *  "mentions": [{"start": 0, "length": 4, "member": "member's identifier"}],
 *  "form": {"title": "Lunch", "fields": [{"id": "what", "label": "What?", "kind": "choice", "options": ["soup", "pie"], "required": true}]}}
 * ```
 *
 * They have the names that received messages have. "start" and "length" count bytes of the text; kinds are "text", "choice", "number" and
 * "approval". Forms are answered with `chancery_client_answer`.
 *
 * CHANCERY_ACT_INVALID: it is no JSON, or not of this form; `chancery_last_detail` names the field. CHANCERY_MESSAGE_UNKNOWN: what it replies
 * to is not in this conversation. These, and most others: nothing was stored.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_send_message(const chancery_client *client,
                                           chancery_str to,
                                           chancery_str message,
                                           uint32_t patience_ms,
                                           chancery_string **out_json);

/**
 * Gives a message of one's own another text. Files, what it replies to and its form stay. As for all acts on messages, `with` is a member or a
 * group, `message` is the "id" of a message of that conversation, a beginning of it that no other has (4 digits at least), or "last"; and what
 * is handed out is {"id","state"} of the act, as `chancery_client_send` does.
 *
 * CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS, CHANCERY_NOT_YOUR_MESSAGE: nothing has changed.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_edit(const chancery_client *client,
                                   chancery_str with,
                                   chancery_str message,
                                   chancery_str text,
                                   uint32_t patience_ms,
                                   chancery_string **out_json);

/**
 * Deletes a message of one's own, everywhere. Who has seen it has seen it, and files that were saved stay.
 *
 * CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS, CHANCERY_NOT_YOUR_MESSAGE: nothing has changed.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_delete(const chancery_client *client,
                                     chancery_str with,
                                     chancery_str message,
                                     uint32_t patience_ms,
                                     chancery_string **out_json);

/**
 * Reacts to a message with an emoji of at most 32 bytes, or takes that back if `remove` is true.
 *
 * CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS, CHANCERY_ACT_INVALID: nothing has changed.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_react(const chancery_client *client,
                                    chancery_str with,
                                    chancery_str message,
                                    chancery_str emoji,
                                    bool remove,
                                    uint32_t patience_ms,
                                    chancery_string **out_json);

/**
 * Answers the form of a message: `values` is a JSON object of the fields' names and texts, as {"what":"soup"}. An approval is "yes" or "no". It
 * takes the place of an earlier answer.
 *
 * CHANCERY_ACT_INVALID: the message has no form, or the answer does not fit it. CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS. Nothing has
 * changed then.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_answer(const chancery_client *client,
                                     chancery_str with,
                                     chancery_str message,
                                     chancery_str values,
                                     uint32_t patience_ms,
                                     chancery_string **out_json);

/**
 * As `chancery_client_save_file`, of a message that is named by its conversation and identifier, as for `chancery_client_edit`.
 *
 * CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS; others as there.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_save_file_of_message(const chancery_client *client,
                                                   chancery_str with,
                                                   chancery_str message,
                                                   size_t file,
                                                   chancery_str folder,
                                                   chancery_string **out_path);

/**
 * Hands out the conversations with members and groups as a JSON array, the newest first: {"conversation","kind","title","handle","name",
 * "unread","last":{"position","at","from","handle","summary","act"},"draft"}. "kind" is "direct" or "group"; "conversation" is the member's or
 * the group's identifier, and names it wherever `with` is asked for. The relay is not asked.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_conversations(const chancery_client *client,
                                            chancery_string **out_json);

/**
 * Hands out one conversation, as an entry of `chancery_client_conversations`. Here and below `with` is a member's handle or identifier, or a
 * group's name or identifier; a handle goes before a group's name.
 *
 * CHANCERY_UNKNOWN_RECIPIENT: there is nobody and no group called so. CHANCERY_GROUP_AMBIGUOUS: use the identifier.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_conversation(const chancery_client *client,
                                           chancery_str with,
                                           chancery_string **out_json);

/**
 * Hands out who can read what is written in a conversation from now on, as a JSON array: {"member","handle","name","kind","devices"} of the
 * other member and this one, with their devices, or of a group's members, with those that are in it. There is nobody else: neither the relay
 * nor the organisation has a copy or a key. Others who have left since may have read what was written before. The relay is not asked.
 *
 * CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_GROUP_AMBIGUOUS: as for `chancery_client_conversation`.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_readers(const chancery_client *client,
                                      chancery_str with,
                                      chancery_string **out_json);

/**
 * Reads a conversation from its end: hands out {"entries":[…],"next"} with up to `limit` (1 to 256) of the newest entries before position
 * `before`, oldest first; 0 begins at the end. Each entry has its "position". "next" is the `before` of the page before this one, and null at
 * the beginning of the conversation.
 *
 * CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_GROUP_AMBIGUOUS: as for `chancery_client_conversation`.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_history_before(const chancery_client *client,
                                             chancery_str with,
                                             uint64_t before,
                                             uint32_t limit,
                                             chancery_string **out_json);

/**
 * Marks a conversation as read up to and including a position; `*out_unread` is how many messages are unread then. Their authors are told,
 * as far as `chancery_client_receipt_settings` and the organisation let it, and so are one's own other devices: with whatever connects
 * next. What is to disappear has its time from now on.
 *
 * CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_GROUP_AMBIGUOUS: as for `chancery_client_conversation`.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_mark_read(const chancery_client *client, chancery_str with, uint64_t position, uint64_t *out_unread);

/**
 * Keeps what was begun and not sent in a conversation, at most 32 KiB, on this device; an empty text forgets it. Sending does not forget it.
 * `chancery_client_conversation` has it.
 *
 * CHANCERY_MESSAGE_TOO_LARGE; others as for `chancery_client_conversation`.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_set_draft(const chancery_client *client,
                                        chancery_str with,
                                        chancery_str text);

/**
 * Hands out a page of the conversation with a member, oldest first: from position 0 on, then from where `chancery_page_next` says. The
 * relay is not asked.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_history(const chancery_client *client, chancery_str with, uint64_t position, chancery_page **out_page);

/**
 * Hands out a page of a group's messages and acts, oldest first, as `chancery_client_history` does.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_history(const chancery_client *client, chancery_str group, uint64_t position, chancery_page **out_page);

/**
 * Hands out the page's entries as a JSON array: each as `chancery history --json` or `chancery group history --json` prints it.
 *
 * Threads: any, at once.
 */
chancery_code chancery_page_json(const chancery_page *page, chancery_string **out_json);

/**
 * Says whether there is a page behind this one, and at which position it begins (0 if there is none).
 *
 * Threads: any, at once.
 */
chancery_code chancery_page_next(const chancery_page *page, bool *out_more, uint64_t *out_position);

/**
 * As `chancery_client_save_file`, of the message that is entry `entry` (from 0) of a page.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_save_file_of_page(const chancery_client *client,
                                                const chancery_page *page,
                                                size_t entry,
                                                size_t file,
                                                chancery_str folder,
                                                chancery_string **out_path);

/**
 * Frees a page. NULL, and what was freed before, is left alone.
 *
 * Threads: any.
 */
void chancery_page_free(chancery_page *page);

/**
 * Hands out what this member lets others know: {"read_receipts","delivery_receipts","typing"}, each true or false.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_receipt_settings(const chancery_client *client, chancery_string **out_json);

/**
 * Sets what this member lets others know, on all its devices: that their messages were read, that they have come, and that it is writing.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_set_receipt_settings(const chancery_client *client, bool read, bool delivery, bool typing);

/**
 * Hands out how long what is written to a member stays after it was read: {"disappears_after_s"}, null for ever. Of a group
 * `chancery_group_show` says it.
 *
 * CHANCERY_UNKNOWN_RECIPIENT: there is nobody called so.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_disappearing(const chancery_client *client, chancery_str with, chancery_string **out_json);

/**
 * Sets how long what is written to a member from now on stays after it was read, there and here: from 1 second to 366 days, and 0 for ever.
 * In groups `chancery_group_set_policy` does it.
 *
 * CHANCERY_UNKNOWN_RECIPIENT: there is nobody called so. CHANCERY_USAGE: another time.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_set_disappearing(const chancery_client *client, chancery_str with, uint64_t seconds);

/**
 * Tells a member that this one is writing, or no longer: within 5 seconds or not at all. It holds for 15 seconds there, so call it with every
 * key; it goes out every 5 seconds at most. Only devices are told with which messages went to and fro within the last 10 minutes.
 * What others tell comes as an event: see `chancery_event_number`.
 *
 * CHANCERY_UNKNOWN_RECIPIENT: there is nobody called so. What keeps the word from being sent is no error.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_typing(const chancery_client *client,
                                     chancery_str to,
                                     bool stopped);

/**
 * Founds a group with this member as owner, and adds members, given by handle or identifier. This and everything else that changes a group
 * hands out {"group","state","name","phase","epoch","devices"}: "state" is "done", or "queued" if it is stored here and waits; "waiting" says
 * why, as for `chancery_client_send`. What is queued must not be repeated.
 *
 * CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_NAME_NOT_ALLOWED, CHANCERY_GROUP_LIMIT: nothing was stored.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_create(const chancery_client *client,
                                    chancery_str name,
                                    const chancery_str *members,
                                    size_t member_count,
                                    uint32_t patience_ms,
                                    chancery_string **out_json);

/**
 * Writes text and files to a group, as `chancery_client_send` to a member: {"id","group","state"}, and "waiting" as there.
 *
 * CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_LEFT and most others: nothing was stored.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_send(const chancery_client *client,
                                  chancery_str group,
                                  chancery_str text,
                                  const chancery_str *files,
                                  size_t file_count,
                                  uint32_t patience_ms,
                                  chancery_string **out_json);

/**
 * Writes a message with all that one may have to a group: `message` as for `chancery_client_send_message`, what is handed out as for
 * `chancery_group_send`. Acts on messages of a group are those of `chancery_client_edit` and what follows it there.
 *
 * CHANCERY_ACT_INVALID, CHANCERY_MESSAGE_UNKNOWN: as there. CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_LEFT. Nothing was stored then.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_send_message(const chancery_client *client,
                                          chancery_str group,
                                          chancery_str message,
                                          uint32_t patience_ms,
                                          chancery_string **out_json);

/**
 * Hands out the groups that this device is in or was in, as a JSON array: each as `chancery group list --json` prints it.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_list(const chancery_client *client, chancery_string **out_json);

/**
 * Hands out a group with its policy and its members, as `chancery group show --json` prints it.
 *
 * CHANCERY_GROUP_UNKNOWN; CHANCERY_GROUP_AMBIGUOUS: use more of the identifier.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_show(const chancery_client *client, chancery_str group, chancery_string **out_json);

/**
 * Adds members with all their devices, as "owner", "admin", "member" or "reader".
 *
 * CHANCERY_GROUP_NOT_ALLOWED: nothing has changed.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_add(const chancery_client *client,
                                 chancery_str group,
                                 const chancery_str *members,
                                 size_t member_count,
                                 chancery_str role_name,
                                 uint32_t patience_ms,
                                 chancery_string **out_json);

/**
 * Removes members with all their devices. They keep what they have read.
 *
 * CHANCERY_GROUP_NOT_ALLOWED: nothing has changed.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_remove(const chancery_client *client,
                                    chancery_str group,
                                    const chancery_str *members,
                                    size_t member_count,
                                    uint32_t patience_ms,
                                    chancery_string **out_json);

/**
 * Gives a member the role "admin", "member" or "reader"; "owner" makes this member an administrator.
 *
 * CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_CONFLICT for who is not in it: nothing has changed.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_set_role(const chancery_client *client,
                                      chancery_str group,
                                      chancery_str member,
                                      chancery_str role_name,
                                      uint32_t patience_ms,
                                      chancery_string **out_json);

/**
 * Makes another member owner, and this one an administrator.
 *
 * CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_CONFLICT for who is not in it: nothing has changed.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_hand_over(const chancery_client *client,
                                       chancery_str group,
                                       chancery_str member,
                                       uint32_t patience_ms,
                                       chancery_string **out_json);

/**
 * Leaves a group with all own devices. It waits until a device of somebody who stays has made the new keys.
 *
 * CHANCERY_GROUP_REFUSED if nobody would administer it: name somebody first.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_leave(const chancery_client *client, chancery_str group, uint32_t patience_ms, chancery_string **out_json);

/**
 * Gives a group another name.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_rename(const chancery_client *client,
                                    chancery_str group,
                                    chancery_str name,
                                    uint32_t patience_ms,
                                    chancery_string **out_json);

/**
 * Changes a group's policy: `policy` is a JSON object with some of the fields that "policy" of `chancery_group_show` has, and what it does not name
 * stays. "retention_s" and "disappearing_s" are whole seconds, or null for no limit; "posting" is "all" or "admins"; "history" is how many
 * messages who is added is sent again, 0 to 100; "heal_s" is after which time administrators' devices renew all keys, or null for never.
 *
 * CHANCERY_USAGE: it is no JSON, or not of this form; `chancery_last_detail` names the field. CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_LIMIT.
 * Nothing has changed then.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_set_policy(const chancery_client *client,
                                        chancery_str group,
                                        chancery_str policy,
                                        uint32_t patience_ms,
                                        chancery_string **out_json);

/**
 * Renews all keys of a group, as after a device was in the wrong hands.
 *
 * CHANCERY_GROUP_NOT_ALLOWED: only owners and administrators may.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_heal(const chancery_client *client, chancery_str group, uint32_t patience_ms, chancery_string **out_json);

/**
 * Carries out an order that an administrator of the organisation has signed, as `chancery org group` prints it.
 *
 * CHANCERY_ORDER_DAMAGED: it is not whole. CHANCERY_GROUP_REFUSED: it has expired, was carried out before or is for another group.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_execute(const chancery_client *client,
                                     chancery_str group,
                                     chancery_str order,
                                     uint32_t patience_ms,
                                     chancery_string **out_json);

/**
 * Ends a group for all; what was written stays.
 *
 * CHANCERY_GROUP_NOT_ALLOWED: only owners may.
 *
 * Threads: any, at once.
 */
chancery_code chancery_group_dissolve(const chancery_client *client, chancery_str group, uint32_t patience_ms, chancery_string **out_json);

/**
 * Hands out members in the order of their handles, as the directory was when it was synchronised last: {"entries":[{"member","handle","name",
 * "unit","kind","devices"},…],"next"}, up to 1000 at once. `filter` is any part of a handle, name or unit, in upper or lower case, and everybody
 * if it is empty. `after` is empty at first, and then what "next" said, which is null at the end. The relay is not asked.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_members(const chancery_client *client,
                                      chancery_str filter,
                                      chancery_str after,
                                      chancery_string **out_json);

/**
 * Hands out the member of this handle or identifier, as one entry of `chancery_client_members` is. The relay is asked if nobody here is
 * called so.
 *
 * CHANCERY_UNKNOWN_RECIPIENT: there is nobody. CHANCERY_RELAY_UNREACHABLE: nobody here, and the relay could not be asked.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_resolve(const chancery_client *client, chancery_str who, chancery_string **out_json);

/**
 * Hands out the organisation's policy, as far as this device knows the log: {"freshness_s","device_limit","saving_attachments",…}.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_policy(const chancery_client *client, chancery_string **out_json);

/**
 * Hands out what this device knows of the organisation's log: {"size","root","time","state","policy"}. Nothing is sent unless "state" is
 * "current", "aging" or "unconfirmed".
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_log_status(const chancery_client *client, chancery_string **out_json);

/**
 * Hands out this member's devices as a JSON array, with those that wait for approval here: each as `chancery device list --json` prints it.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_devices(const chancery_client *client, chancery_string **out_json);

/**
 * Makes a link with which one more device of this member asks for approval, within ten minutes: {"link","expires"}. It is a secret.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_device_link(const chancery_client *client, chancery_string **out_json);

/**
 * Approves the device that shows `code`, which the person has read there: {"member","device"}.
 *
 * CHANCERY_DEVICE_REQUEST_UNKNOWN: no device with this code has asked.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_approve_device(const chancery_client *client,
                                             chancery_str code,
                                             uint32_t patience_ms,
                                             chancery_string **out_json);

/**
 * Removes another device of this member, given by its identifier: {"device","state"}.
 *
 * Threads: any, at once.
 */
chancery_code chancery_client_remove_device(const chancery_client *client,
                                            chancery_str device,
                                            uint32_t patience_ms,
                                            chancery_string **out_json);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CHANCERY_H */
