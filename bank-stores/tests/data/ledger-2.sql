-- A ledger of schema version 2: accounts cash, alice and bob (frozen), postings p0 to p9, holds kept and voided, the capture c1, the
-- reversal r1 of p3, and poor, refused for good.
BEGIN TRANSACTION;
CREATE TABLE accounts (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT, name TEXT, currency TEXT NOT NULL,
    status INTEGER NOT NULL, floor INTEGER, opened_at INTEGER NOT NULL, content BLOB NOT NULL
, ceiling INTEGER) STRICT;
INSERT INTO "accounts" VALUES(1,'cash',NULL,NULL,'EUR',0,NULL,1795552513491378,X'5B7608307D8CFB24CA2B23E87428B50DF6647A138B8A9E7AE5E7D82B06B53437',NULL);
INSERT INTO "accounts" VALUES(2,'alice','ada','Alice','EUR',0,0,1795552513497958,X'1E4B5DCE413C407FCEFB8BC0A4C8B8D84E4FDED9C4A77F0FE27DD8747A7E2E63',100000);
INSERT INTO "accounts" VALUES(3,'bob',NULL,NULL,'EUR',0,0,1795552513500754,X'1256F24401492389B2AA70B97D8E600DD99B8B13F0EAA807DCC5D28DE54306B0',NULL);
CREATE TABLE balances (
    account INTEGER PRIMARY KEY REFERENCES accounts, balance INTEGER NOT NULL, entries INTEGER NOT NULL
, held INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "balances" VALUES(1,-5438,7,0);
INSERT INTO "balances" VALUES(2,4842,12,30);
INSERT INTO "balances" VALUES(3,596,5,0);
CREATE TABLE chain (sequence INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
INSERT INTO "chain" VALUES(2,X'BB433461AC27F83E0F08F720CB845B7B934A7978AA4CD554FC7B00A7306DAB37');
INSERT INTO "chain" VALUES(19,X'ECBCEF23786A0440AB77BA695B89FCD5E1BCDABA332FDFC4AA7C2BF114B34E1B');
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account INTEGER NOT NULL REFERENCES accounts,
    state TEXT NOT NULL, booked_at INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
INSERT INTO "changes" VALUES(19,'freeze',3,'{"id":"bob","owner":null,"name":null,"currency":"EUR","status":"frozen","floor":{"amount":"0.00","currency":"EUR"},"ceiling":null,"balance":{"amount":"5.96","currency":"EUR"},"held":{"amount":"0.00","currency":"EUR"},"available":{"amount":"5.96","currency":"EUR"},"opened_at":"2026-11-24T20:35:13.500754Z","entry_count":5}',1795552513630574,X'20AB994E39231B4DB4EEAEBFE9CBBE655650CA8793DDD61DA37609CDF0319FE8');
CREATE TABLE consumers (id TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "consumers" VALUES('notices',5);
CREATE TABLE entries (
    posting INTEGER NOT NULL REFERENCES postings, leg INTEGER NOT NULL, account INTEGER NOT NULL REFERENCES accounts,
    number INTEGER NOT NULL, amount INTEGER NOT NULL, balance INTEGER NOT NULL, PRIMARY KEY (posting, leg)
) STRICT, WITHOUT ROWID;
INSERT INTO "entries" VALUES(4,0,1,1,-5000,-5000);
INSERT INTO "entries" VALUES(4,1,2,1,5000,5000);
INSERT INTO "entries" VALUES(5,0,1,2,-2,-5002);
INSERT INTO "entries" VALUES(5,1,2,2,2,5002);
INSERT INTO "entries" VALUES(6,0,1,3,-4,-5006);
INSERT INTO "entries" VALUES(6,1,2,3,4,5006);
INSERT INTO "entries" VALUES(7,0,2,4,-8,4998);
INSERT INTO "entries" VALUES(7,1,3,1,8,8);
INSERT INTO "entries" VALUES(8,0,1,4,-16,-5022);
INSERT INTO "entries" VALUES(8,1,2,5,16,5014);
INSERT INTO "entries" VALUES(9,0,1,5,-32,-5054);
INSERT INTO "entries" VALUES(9,1,2,6,32,5046);
INSERT INTO "entries" VALUES(10,0,2,7,-64,4982);
INSERT INTO "entries" VALUES(10,1,3,2,64,72);
INSERT INTO "entries" VALUES(11,0,1,6,-128,-5182);
INSERT INTO "entries" VALUES(11,1,2,8,128,5110);
INSERT INTO "entries" VALUES(12,0,1,7,-256,-5438);
INSERT INTO "entries" VALUES(12,1,2,9,256,5366);
INSERT INTO "entries" VALUES(13,0,2,10,-512,4854);
INSERT INTO "entries" VALUES(13,1,3,3,512,584);
INSERT INTO "entries" VALUES(16,0,2,11,-20,4834);
INSERT INTO "entries" VALUES(16,1,3,4,20,604);
INSERT INTO "entries" VALUES(18,0,2,12,8,4842);
INSERT INTO "entries" VALUES(18,1,3,5,-8,596);
CREATE TABLE holds (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account INTEGER NOT NULL REFERENCES accounts,
    amount INTEGER NOT NULL, captured INTEGER NOT NULL, status INTEGER NOT NULL, placed_at INTEGER NOT NULL,
    deadline INTEGER, reference TEXT, metadata TEXT, content BLOB NOT NULL, ended_by INTEGER, ended_at INTEGER
) STRICT;
INSERT INTO "holds" VALUES(14,'kept',2,50,20,0,1795552513597954,NULL,NULL,NULL,X'B962F7BE07D578942032E809D29827AEE85B0C4F2F4E6C55FEE18A2AD311AE72',NULL,NULL);
INSERT INTO "holds" VALUES(15,'voided',2,10,0,2,1795552513619557,NULL,NULL,NULL,X'85173B415297D3843558C817C4A2F5DFDB4A05906F1E5599F44454A974B39686',17,1795552513625290);
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL, at INTEGER NOT NULL, payload TEXT NOT NULL
) STRICT;
INSERT INTO "outbox" VALUES(1,'account:cash','account.opened',1795552513491378,'{"account":"cash","owner":null,"name":null,"currency":"EUR","at":"2026-11-24T20:35:13.491378Z"}');
INSERT INTO "outbox" VALUES(2,'account:alice','account.opened',1795552513497958,'{"account":"alice","owner":"ada","name":"Alice","currency":"EUR","at":"2026-11-24T20:35:13.497958Z"}');
INSERT INTO "outbox" VALUES(3,'account:bob','account.opened',1795552513500754,'{"account":"bob","owner":null,"name":null,"currency":"EUR","at":"2026-11-24T20:35:13.500754Z"}');
INSERT INTO "outbox" VALUES(4,'posting:p0','posting.deposit',1795552513507166,'{"posting":"p0","kind":"deposit","reference":null,"metadata":{},"legs":[{"account":"cash","owner":null,"name":null,"amount":{"amount":"-50.00","currency":"EUR"},"balance_after":{"amount":"-50.00","currency":"EUR"}},{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"50.00","currency":"EUR"},"balance_after":{"amount":"50.00","currency":"EUR"}}],"at":"2026-11-24T20:35:13.507166Z"}');
INSERT INTO "outbox" VALUES(5,'posting:p1','posting.transfer',1795552513513823,'{"posting":"p1","kind":"transfer","reference":null,"metadata":{},"legs":[{"account":"cash","owner":null,"name":null,"amount":{"amount":"-0.02","currency":"EUR"},"balance_after":{"amount":"-50.02","currency":"EUR"}},{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"0.02","currency":"EUR"},"balance_after":{"amount":"50.02","currency":"EUR"}}],"at":"2026-11-24T20:35:13.513823Z"}');
INSERT INTO "outbox" VALUES(6,'posting:p2','posting.transfer',1795552513521439,'{"posting":"p2","kind":"transfer","reference":null,"metadata":{"n":"2"},"legs":[{"account":"cash","owner":null,"name":null,"amount":{"amount":"-0.04","currency":"EUR"},"balance_after":{"amount":"-50.06","currency":"EUR"}},{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"0.04","currency":"EUR"},"balance_after":{"amount":"50.06","currency":"EUR"}}],"at":"2026-11-24T20:35:13.521439Z"}');
INSERT INTO "outbox" VALUES(7,'posting:p3','posting.transfer',1795552513528571,'{"posting":"p3","kind":"transfer","reference":null,"metadata":{},"legs":[{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"-0.08","currency":"EUR"},"balance_after":{"amount":"49.98","currency":"EUR"}},{"account":"bob","owner":null,"name":null,"amount":{"amount":"0.08","currency":"EUR"},"balance_after":{"amount":"0.08","currency":"EUR"}}],"at":"2026-11-24T20:35:13.528571Z"}');
INSERT INTO "outbox" VALUES(8,'posting:p4','posting.transfer',1795552513536339,'{"posting":"p4","kind":"transfer","reference":null,"metadata":{"n":"4"},"legs":[{"account":"cash","owner":null,"name":null,"amount":{"amount":"-0.16","currency":"EUR"},"balance_after":{"amount":"-50.22","currency":"EUR"}},{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"0.16","currency":"EUR"},"balance_after":{"amount":"50.14","currency":"EUR"}}],"at":"2026-11-24T20:35:13.536339Z"}');
INSERT INTO "outbox" VALUES(9,'posting:p5','posting.transfer',1795552513545033,'{"posting":"p5","kind":"transfer","reference":null,"metadata":{},"legs":[{"account":"cash","owner":null,"name":null,"amount":{"amount":"-0.32","currency":"EUR"},"balance_after":{"amount":"-50.54","currency":"EUR"}},{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"0.32","currency":"EUR"},"balance_after":{"amount":"50.46","currency":"EUR"}}],"at":"2026-11-24T20:35:13.545033Z"}');
INSERT INTO "outbox" VALUES(10,'posting:p6','posting.transfer',1795552513556622,'{"posting":"p6","kind":"transfer","reference":null,"metadata":{"n":"6"},"legs":[{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"-0.64","currency":"EUR"},"balance_after":{"amount":"49.82","currency":"EUR"}},{"account":"bob","owner":null,"name":null,"amount":{"amount":"0.64","currency":"EUR"},"balance_after":{"amount":"0.72","currency":"EUR"}}],"at":"2026-11-24T20:35:13.556622Z"}');
INSERT INTO "outbox" VALUES(11,'posting:p7','posting.transfer',1795552513567513,'{"posting":"p7","kind":"transfer","reference":null,"metadata":{},"legs":[{"account":"cash","owner":null,"name":null,"amount":{"amount":"-1.28","currency":"EUR"},"balance_after":{"amount":"-51.82","currency":"EUR"}},{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"1.28","currency":"EUR"},"balance_after":{"amount":"51.10","currency":"EUR"}}],"at":"2026-11-24T20:35:13.567513Z"}');
INSERT INTO "outbox" VALUES(12,'posting:p8','posting.transfer',1795552513576838,'{"posting":"p8","kind":"transfer","reference":null,"metadata":{"n":"8"},"legs":[{"account":"cash","owner":null,"name":null,"amount":{"amount":"-2.56","currency":"EUR"},"balance_after":{"amount":"-54.38","currency":"EUR"}},{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"2.56","currency":"EUR"},"balance_after":{"amount":"53.66","currency":"EUR"}}],"at":"2026-11-24T20:35:13.576838Z"}');
INSERT INTO "outbox" VALUES(13,'posting:p9','posting.transfer',1795552513586726,'{"posting":"p9","kind":"transfer","reference":null,"metadata":{},"legs":[{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"-5.12","currency":"EUR"},"balance_after":{"amount":"48.54","currency":"EUR"}},{"account":"bob","owner":null,"name":null,"amount":{"amount":"5.12","currency":"EUR"},"balance_after":{"amount":"5.84","currency":"EUR"}}],"at":"2026-11-24T20:35:13.586726Z"}');
INSERT INTO "outbox" VALUES(14,'hold.placed:kept','hold.placed',1795552513597954,'{"hold":"kept","account":"alice","owner":"ada","amount":{"amount":"0.50","currency":"EUR"},"captured":{"amount":"0.00","currency":"EUR"},"status":"open","deadline":null,"at":"2026-11-24T20:35:13.597954Z"}');
INSERT INTO "outbox" VALUES(15,'hold.placed:voided','hold.placed',1795552513619557,'{"hold":"voided","account":"alice","owner":"ada","amount":{"amount":"0.10","currency":"EUR"},"captured":{"amount":"0.00","currency":"EUR"},"status":"open","deadline":null,"at":"2026-11-24T20:35:13.619557Z"}');
INSERT INTO "outbox" VALUES(16,'posting:c1','posting.capture',1795552513621665,'{"posting":"c1","kind":"capture","reference":null,"metadata":{},"legs":[{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"-0.20","currency":"EUR"},"balance_after":{"amount":"48.34","currency":"EUR"}},{"account":"bob","owner":null,"name":null,"amount":{"amount":"0.20","currency":"EUR"},"balance_after":{"amount":"6.04","currency":"EUR"}}],"hold":"kept","at":"2026-11-24T20:35:13.621665Z"}');
INSERT INTO "outbox" VALUES(17,'hold.voided:voided','hold.voided',1795552513625290,'{"hold":"voided","account":"alice","owner":"ada","amount":{"amount":"0.10","currency":"EUR"},"captured":{"amount":"0.00","currency":"EUR"},"status":"voided","deadline":null,"at":"2026-11-24T20:35:13.62529Z"}');
INSERT INTO "outbox" VALUES(18,'posting:r1','posting.reversal',1795552513627127,'{"posting":"r1","kind":"reversal","reference":"mistake","metadata":{},"legs":[{"account":"alice","owner":"ada","name":"Alice","amount":{"amount":"0.08","currency":"EUR"},"balance_after":{"amount":"48.42","currency":"EUR"}},{"account":"bob","owner":null,"name":null,"amount":{"amount":"-0.08","currency":"EUR"},"balance_after":{"amount":"5.96","currency":"EUR"}}],"at":"2026-11-24T20:35:13.627127Z"}');
INSERT INTO "outbox" VALUES(19,'change:freeze','account.changed',1795552513630574,'{"change":"freeze","account":"bob","owner":null,"status":"frozen","floor":{"amount":"0.00","currency":"EUR"},"ceiling":null,"at":"2026-11-24T20:35:13.630574Z"}');
CREATE TABLE postings (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, reference TEXT, metadata TEXT,
    booked_at INTEGER NOT NULL, value_at INTEGER NOT NULL, content BLOB NOT NULL
, reverses INTEGER REFERENCES postings, hold INTEGER REFERENCES holds, captured INTEGER, hold_status INTEGER) STRICT;
INSERT INTO "postings" VALUES(4,'p0','deposit',NULL,NULL,1795552513507166,1795552513507166,X'9B25F617F60D73D1562267E49E03FAF410C79D59956C27431607972F1CD91D0E',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(5,'p1','transfer',NULL,NULL,1795552513513823,1795552513513823,X'62CBE51D1E55CF1E3C0D91F97AE1E1A0AC8130F40E840F7B6D6A4CB5716982B7',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(6,'p2','transfer',NULL,'{"n":"2"}',1795552513521439,1700000002000000,X'9C1B128EA300396ACEC4C048DBC112A5DB9734FCD8695FFE9CC8779A6C9277B5',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(7,'p3','transfer',NULL,NULL,1795552513528571,1795552513528571,X'6F785381C7A41418226EB3A2081B4CC8746692AA9F96BC5900D767B559221233',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(8,'p4','transfer',NULL,'{"n":"4"}',1795552513536339,1700000004000000,X'AC1B3EF93C7A385EFBFCB7D40755094374F7CF3E0124AEDC18558F06824801DC',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(9,'p5','transfer',NULL,NULL,1795552513545033,1795552513545033,X'32284A65BE899907536BF7F487CEFA374B83A76CD4C625D4B1B28AACE3397D70',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(10,'p6','transfer',NULL,'{"n":"6"}',1795552513556622,1700000006000000,X'C27AB038F43B28C5BC9D1D44128DAA34324319E3FF5701D48196D08FBF225336',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(11,'p7','transfer',NULL,NULL,1795552513567513,1795552513567513,X'8CB183CFDD58488A6E85A85A8C5F54D4C7C7102C743C23B7084D9226610999D1',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(12,'p8','transfer',NULL,'{"n":"8"}',1795552513576838,1700000008000000,X'27203B6C0A485909BB7627A88DE0ECDEF08825100D63985B03A3C7695957A3C6',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(13,'p9','transfer',NULL,NULL,1795552513586726,1795552513586726,X'C6B0BAF0BABE14109BE1DFF81053FD875A3FFC800C0B968117FC289DEEE52071',NULL,NULL,NULL,NULL);
INSERT INTO "postings" VALUES(16,'c1','capture',NULL,NULL,1795552513621665,1795552513621665,X'3D66E59E3F2149B909C1E344401E8115F47049E57A25298F3CF294758EEF436F',NULL,14,20,0);
INSERT INTO "postings" VALUES(18,'r1','reversal','mistake',NULL,1795552513627127,1795552513627127,X'477881D87C6BA7FD6161C430FA241E5B871DE0157B31C1659BAAADA21D33911D',7,NULL,NULL,NULL);
CREATE TABLE refusals (id TEXT PRIMARY KEY, content BLOB NOT NULL, error TEXT NOT NULL, at INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
INSERT INTO "refusals" VALUES('posting poor',X'372F5BFBC34CAC4C4B3665D3A090F8AAF3180539B051B49E412CCED0032DA5EB','{"kind":"insufficient funds","field":"legs[0].account","message":"account alice has not enough"}',1795552513633269);
CREATE TABLE rules (
    account INTEGER PRIMARY KEY REFERENCES accounts, status INTEGER NOT NULL, floor INTEGER, ceiling INTEGER
) STRICT;
INSERT INTO "rules" VALUES(3,1,0,NULL);
CREATE INDEX accounts_by_owner ON accounts (owner, sequence) WHERE owner IS NOT NULL;
CREATE UNIQUE INDEX entries_by_account ON entries (account, number);
CREATE UNIQUE INDEX postings_reversed ON postings (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX holds_due ON holds (deadline) WHERE status = 0 AND deadline IS NOT NULL;
CREATE INDEX holds_open ON holds (account) WHERE status = 0;
CREATE INDEX holds_ended ON holds (ended_by) WHERE ended_by IS NOT NULL;
COMMIT;
PRAGMA application_id = 1650551809;
PRAGMA user_version = 2;
