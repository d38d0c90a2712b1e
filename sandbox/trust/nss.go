package trust

import (
	"crypto/md5"  //nolint:gosec // NSS looks trust up by both
	"crypto/sha1" //nolint:gosec
	"encoding/asn1"
	"encoding/binary"
)

// NSSFile is the name of the database in a directory of NSS; Chromium looks into
// .pki/nssdb of the home directory.
const NSSFile = "cert9.db"

// Numbers of PKCS #11 and of NSS's own attributes: pkcs11t.h and pkcs11n.h.
const (
	classCertificate = 0x00000001
	classTrust       = 0xce534353
	trustDelegator   = 0xce534352 // CKT_NSS_TRUSTED_DELEGATOR: a CA for this purpose
	trustUnknown     = 0xce534355
)

// columns of nssPublic are CKA_ numbers in hexadecimal: the ones that are
// queried, and with it all of which NSS names one when it reads.
const nssTable = "CREATE TABLE nssPublic (id PRIMARY KEY UNIQUE ON CONFLICT ABORT, a0, a1, a2, a3, a10, a11, a12, a80, a81, a82, a83, a84, a85, a86, a87, a88, a89, a8a, a8b, a90, " +
	"a100, a101, a102, a103, a104, a105, a106, a107, a108, a109, a10a, a10b, a10c, a110, a111, a120, a121, a122, a123, a124, a125, a126, a127, a128, a129, a130, a131, a132, a133, a134, " +
	"a160, a161, a162, a163, a164, a165, a166, a170, a180, a181, a200, a201, a202, a210, a300, a301, a302, a400, a401, a402, a403, a404, a405, a406, a480, a481, a482, a500, a501, a502, a503, " +
	"a40000211, a40000212, a80000001, ace534351, ace534352, ace534353, ace534354, ace534355, ace534356, ace534357, ace534358, ace534364, ace534365, ace534366, ace534367, ace534368, ace534369, " +
	"ace534373, ace534374, ace536351, ace536352, ace536353, ace536354, ace536355, ace536356, ace536357, ace536358, ace536359, ace53635a, ace53635b, ace53635c, ace53635d, ace53635e, ace53635f, " +
	"ace536360, ace5363b4, ace5363b5, ad5a0db00)"

// NSS makes a database in which one certificate, in PEM, is a CA that servers
// may have theirs from. It has no password, and NSS makes the rest of what
// belongs beside it when it opens it.
func NSS(ca []byte) ([]byte, error) {
	cs := certificates(ca)
	if len(cs) == 0 {
		return nil, ErrNoCertificate
	}
	c := cs[0]
	serial, err := asn1.Marshal(c.SerialNumber)
	if err != nil {
		return nil, err
	}
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	yes, no := []byte{1}, []byte{0}
	s1, m5 := sha1.Sum(c.Raw), md5.Sum(c.Raw) //nolint:gosec // names, not proofs
	return database("nssPublic", nssTable, []row{
		{1, map[string][]byte{"a0": number(classCertificate), "a1": yes, "a2": no, "a3": []byte("sallyport"), "a11": c.Raw, "a80": number(0), // X.509
			"a81": c.RawIssuer, "a82": serial, "a101": c.RawSubject, "a102": c.SubjectKeyId, "a170": yes}},
		{2, map[string][]byte{"a0": number(classTrust), "a1": yes, "a2": no, "a81": c.RawIssuer, "a82": serial, "a170": yes,
			"ace536358": number(trustDelegator), "ace536359": number(trustUnknown), "ace53635a": number(trustUnknown), "ace53635b": number(trustUnknown),
			"ace536360": no, "ace5363b4": s1[:], "ace5363b5": m5[:]}},
	})
}
