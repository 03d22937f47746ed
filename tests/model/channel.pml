/* channel.pml - one (sender,recipient) channel over 2 brokers: document A, its recall K, then the sender is
   restored from a backup taken before A and sends a fresh document B. Brokers reorder and repeat freely.
   -DINC: a restored sender opens a new incarnation; -DSEQ: a channel is applied strictly in sequence;
   -DHOLD: a relation waits for its target. Messages: 1=A 2=K(recall of A) 3=B. */
bit has[8];                       /* broker0: 1..3, broker1: 5..7 */
byte inc[4], seq[4];              /* header of message i */
byte cinc = 1, nxt = 1;           /* sender's channel state */
bit sent[4], restored;
byte wm[3];                       /* recipient watermark per incarnation */
bit got[4], dup[4], eq; byte id1 = 0;   /* id1: message accepted as (incarnation 1, seq 1) */
#ifdef SEQ
#define NEXT(i) (seq[i] == wm[inc[i]]+1)
#else
#define NEXT(i) (seq[i] > wm[inc[i]])
#endif
#ifdef HOLD
#define READY(i) (NEXT(i) && (i!=2 || got[1]))
#else
#define READY(i) NEXT(i)
#endif
#define SEND(i) sent[i]=1; inc[i]=cinc; seq[i]=nxt; nxt++; has[i]=1; has[4+i]=1
#define RECV(i,b) \
 :: atomic { has[4*b+i] && !got[i] && READY(i) -> assert(i!=2 || got[1]); got[i]=1; wm[inc[i]]=seq[i]; if :: inc[i]==1 && seq[i]==1 -> id1=i :: else -> skip fi } \
 :: atomic { has[4*b+i] && !got[i] && !dup[i] && seq[i]<=wm[inc[i]] -> dup[i]=1; if :: inc[i]==1 && seq[i]==1 && id1!=i -> eq=1 :: else -> skip fi } \
 :: atomic { has[4*b+i] && has[4*(1-b)+i] -> has[4*b+i]=0 }     /* one broker loses or withholds it */
active proctype sys() {
 do
 :: atomic { !sent[1] && !restored -> SEND(1) }
 :: atomic { sent[1] && !sent[2] && !restored -> SEND(2) }
 :: atomic { sent[1] && !restored -> restored=1; nxt=1;
#ifdef INC
    cinc=2;
#endif
    skip }
 :: atomic { restored && !sent[3] -> SEND(3) }
 RECV(1,0) RECV(2,0) RECV(3,0) RECV(1,1) RECV(2,1) RECV(3,1)
 :: atomic { sent[3] && got[1] && got[3] && (!sent[2] || got[2]) -> break }
 od;
}
ltl honest { [] (!eq) }           /* an honest, restored sender is never taken for an equivocator */
ltl once   { [] (!(dup[3] && !got[3])) } /* B is never thrown away as a duplicate */
