/* custody.pml - one document, 3 brokers, W=2, end-to-end outbox, disk loss, restores from backup, chunk GC.
   Every guard changes the state and every fault spends budget FMAX, so each run ends;
   Spin's "invalid end state" is then a liveness failure (stuck before delivery). */
#define W 2
#ifndef FMAX
#define FMAX 3
#endif
byte s = 1;            /* sender: 1 outbox  2 accepted (user told)  3 receipt held, outbox freed */
bit cust[3];           /* custody receipt from broker b that the sender still counts */
bit env[3], chk[3], lease[3], half[3], tomb[3], rc[3];      /* broker state */
bit kenv[3], kchk[3], khas[3];                              /* broker backup image */
bit r, rx, hand, rcpt, dms; byte dmsn = 0;                  /* recipient + DMS */
bit kr, krx, khand, krcpt;                                  /* recipient backup image */
bit recov; byte fl = 0, bf = 0; bit dead = 0;             /* dead: sender's disk lost after acceptance */
#ifdef RETAIN
#define FREEABLE (kr)  /* peers free only what the recipient's last backup holds */
#else
#define FREEABLE true
#endif
#ifdef BFREE
#define BFREEABLE true  /* brokers free on the receipt alone; only the sender waits for the backup */
#else
#define BFREEABLE FREEABLE
#endif
#ifdef RECOVER
#define DUP (rx && !recov)
#else
#define DUP (rx)
#endif
#define FULL(b) (env[b] && chk[b])
#define CHECK() assert(((s<3) && !dead) || r || bf>=W || FULL(0) || FULL(1) || FULL(2)); /* I1 accepted => a copy exists */ \
                assert(dmsn<=1);                                          /* I2 DMS sees it once */ \
                assert(s!=3 || r || recov)                                /* I3 receipt => stored, or known lost */
#ifdef PINTX
#define STORE(b) :: atomic { !dead && s<3 && chk[b] && !env[b] && !tomb[b] -> env[b]=1; cust[b]=1; CHECK() }
#else
#define STORE(b) :: atomic { !dead && s<3 && chk[b] && !env[b] && !tomb[b] && !half[b] -> half[b]=1 } \
                 :: atomic { !dead && s<3 && half[b] -> half[b]=0; assert(chk[b]); /* I4 custody is truthful */ env[b]=1; cust[b]=1; CHECK() }
#endif
#ifdef VOID
#define LOSECUST(b) cust[b]=0
#else
#define LOSECUST(b) skip
#endif
#ifdef IDEMP
#define HANDTWICE
#else
#define HANDTWICE :: atomic { r && !hand && dms && fl<FMAX -> dmsn++; fl++; CHECK() }
#endif
#ifdef RECOVER
#define RESTORE recov = !r
#else
#define RESTORE skip
#endif
#ifdef REISSUE   /* a recovering recipient's signed request opens a fresh envelope past the tombstone */
#define REISS(b) :: atomic { recov && tomb[b] && s<3 && !dead -> tomb[b]=0; rc[b]=0; cust[b]=0 }
#else
#define REISS(b)
#endif
#define ACTS(b) \
 :: atomic { !dead && s<3 && !chk[b] && !tomb[b] && !(cust[b] && !env[b]) -> chk[b]=1; lease[b]=1; CHECK() }   /* upload chunk */ \
 :: atomic { chk[b] && lease[b] && !env[b] && fl<FMAX -> lease[b]=0; fl++ }          /* lease ran out */ \
 :: atomic { chk[b] && !lease[b] && !env[b] -> chk[b]=0; CHECK() }                   /* chunk GC */ \
 STORE(b) REISS(b) \
 :: atomic { FULL(b) && !DUP -> r=1; rx=1; recov=0; CHECK() }                        /* recipient drains b */ \
 :: atomic { rcpt && !rc[b] && (env[b] || s<3) -> rc[b]=1 }                          /* receipt to broker b */ \
 :: atomic { rc[b] && s<3 && FREEABLE -> s=3; CHECK() }                              /* receipt reaches sender */ \
 :: atomic { rc[b] && env[b] && BFREEABLE -> env[b]=0; chk[b]=0; tomb[b]=1; CHECK() } /* broker frees on receipt */ \
 :: atomic { tomb[b] && fl<FMAX -> tomb[b]=0; rc[b]=0; fl++ }                        /* tombstone GC */ \
 :: atomic { s==3 && !env[b] && !tomb[b] && fl<FMAX -> env[b]=1; chk[b]=1; fl++; CHECK() } /* late network copy */ \
 :: atomic { (kenv[b]!=env[b] || kchk[b]!=chk[b] || !khas[b]) && fl<FMAX -> kenv[b]=env[b]; kchk[b]=chk[b]; khas[b]=1 } \
 :: atomic { fl<FMAX && (env[b]||chk[b]) -> env[b]=0; chk[b]=0; lease[b]=0; half[b]=0; tomb[b]=0; rc[b]=0; fl++; bf++; LOSECUST(b); CHECK() } /* disk lost */ \
 :: atomic { fl<FMAX && khas[b] && (env[b]!=kenv[b] || chk[b]!=kchk[b]) -> env[b]=kenv[b]; chk[b]=kchk[b]; lease[b]=0; half[b]=0; tomb[b]=0; rc[b]=0; fl++; bf++; LOSECUST(b); CHECK() }
active proctype sys() {
 do
 ACTS(0) ACTS(1) ACTS(2)
 :: atomic { !dead && s==1 && (cust[0]+cust[1]+cust[2])>=W -> s=2; CHECK() }
 :: atomic { r && !hand && !dms -> dms=1; dmsn++; CHECK() }                          /* hand to the DMS ... */
 :: atomic { r && !hand && dms -> hand=1 }                                           /* ... then remember (IDEMP: same key, DMS says known) */
 HANDTWICE
#ifdef SLOSS
 :: atomic { s==2 && !dead && fl<FMAX -> dead=1; fl++; CHECK() }
#endif
 :: atomic { r && !rcpt -> rcpt=1 }
 :: atomic { (kr!=r || krx!=rx || khand!=hand || krcpt!=rcpt) -> kr=r; krx=rx; khand=hand; krcpt=rcpt }
 :: atomic { fl<FMAX && kr!=r -> r=kr; rx=(rx && !kr -> DEDUPE : krx); hand=khand; rcpt=krcpt; fl++; RESTORE; CHECK() }
 :: atomic { (s==3 || (dead && bf>=W)) && (r || bf>=W) && (hand || !r) -> break }
 od;
 assert((s==3 && r && dmsn==1) || (dead && bf>=W))
}
