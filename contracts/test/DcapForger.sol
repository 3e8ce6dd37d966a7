// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";

import {DcapRig} from "./DcapRig.sol";
import {vm} from "./Vm.sol";

// JSON is full of double quotes.
// solhint-disable quotes

/// @title A vendor of our own: certificates, lists, statements and quotes, signed as Intel's are, that say what a test
///        wants said
/// @notice Real evidence cannot lie well: whoever changes it breaks its signature. Here each check stands alone between
///         a lie and its acceptance.
abstract contract DcapForger is DcapRig {
    uint256 internal constant NOW = 1_800_000_000; // 2027-01-15T08:00:00Z
    uint256 internal constant ROOT_KEY = 101;
    uint256 internal constant CA_KEY = 102;
    uint256 internal constant SIGNER_KEY = 103;
    uint256 internal constant PCK_KEY = 104;
    uint256 internal constant ATTESTATION_KEY = 105;

    bytes internal constant ALGORITHM = hex"300a06082a8648ce3d040302";
    bytes internal constant SPKI = hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    bytes internal constant SGX_PREFIX = hex"2a864886f84d010d01";

    struct Cert {
        string subject;
        string issuer;
        uint256 key;
        uint256 signer;
        bytes serial;
        string from;
        string to;
        bytes extensions;
    }

    struct Machine {
        uint8 component;
        uint16 pceSvn;
        bytes6 fmspc;
        bytes2 pceId;
        bytes flags;
    }

    struct Spec {
        bytes header;
        bytes body;
        bytes qeReport;
        bytes auth;
        bytes chain;
        uint256 attestationKey;
        uint256 pckKey;
        bool isVouched;
    }

    // ---- DER ------------------------------------------------------------------------------------------------------

    function tlv(uint8 tag, bytes memory value) internal pure returns (bytes memory) {
        uint256 size = value.length;
        if (size < 0x80) return bytes.concat(bytes1(tag), bytes1(uint8(size)), value);
        if (size < 0x100) return bytes.concat(bytes1(tag), hex"81", bytes1(uint8(size)), value);
        return bytes.concat(bytes1(tag), hex"82", bytes2(uint16(size)), value);
    }

    function seq(bytes memory value) internal pure returns (bytes memory) {
        return tlv(0x30, value);
    }

    function integer(uint256 value) internal pure returns (bytes memory) {
        bytes memory digits = abi.encodePacked(value);
        uint256 skip;
        while (skip < 31 && digits[skip] == 0) ++skip;
        bytes memory short = new bytes(32 - skip);
        for (uint256 i; i < short.length; ++i) {
            short[i] = digits[skip + i];
        }
        return tlv(0x02, uint8(short[0]) < 0x80 ? short : bytes.concat(hex"00", short));
    }

    function name(string memory text) internal pure returns (bytes memory) {
        return seq(tlv(0x31, seq(bytes.concat(hex"0603550403", tlv(0x0c, bytes(text))))));
    }

    function point(uint256 key) internal pure returns (bytes memory) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return abi.encodePacked(x, y);
    }

    function signedDer(bytes memory tbs, uint256 key) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = vm.signP256(key, sha256(tbs));
        bytes memory signature = seq(bytes.concat(integer(uint256(r)), integer(uint256(s))));
        return seq(bytes.concat(tbs, ALGORITHM, tlv(0x03, bytes.concat(hex"00", signature))));
    }

    // ---- certificates ---------------------------------------------------------------------------------------------

    function extension(bytes memory id, bool isCritical, bytes memory value) internal pure returns (bytes memory) {
        return seq(bytes.concat(tlv(0x06, id), isCritical ? bytes(hex"0101ff") : bytes(""), tlv(0x04, value)));
    }

    function usage(uint8 bits) internal pure returns (bytes memory) {
        return extension(hex"551d0f", true, bytes.concat(hex"030200", bytes1(bits)));
    }

    function constraints(bool isCa) internal pure returns (bytes memory) {
        return extension(hex"551d13", true, isCa ? bytes(hex"30030101ff") : bytes(hex"3000"));
    }

    function tbsOf(Cert memory it) internal pure returns (bytes memory) {
        bytes memory validity = seq(bytes.concat(tlv(0x17, bytes(it.from)), tlv(0x17, bytes(it.to))));
        bytes memory head = bytes.concat(hex"a003020102", tlv(0x02, it.serial), ALGORITHM, name(it.issuer), validity);
        return seq(bytes.concat(head, name(it.subject), SPKI, point(it.key), tlv(0xa3, seq(it.extensions))));
    }

    function build(Cert memory it) internal pure returns (bytes memory) {
        return signedDer(tbsOf(it), it.signer);
    }

    function certOf(string memory subject, string memory issuer, uint256 key, uint256 signer, bool isCa)
        internal
        pure
        returns (Cert memory)
    {
        bytes memory more = bytes.concat(usage(isCa ? 0x06 : 0xc0), constraints(isCa));
        bytes memory serial = abi.encodePacked(uint8(key));
        return Cert(subject, issuer, key, signer, serial, "260101000000Z", "280101000000Z", more);
    }

    function rootCert() internal pure returns (Cert memory) {
        return certOf("root", "root", ROOT_KEY, ROOT_KEY, true);
    }

    function authorityCert() internal pure returns (Cert memory) {
        return certOf("CA", "root", CA_KEY, ROOT_KEY, true);
    }

    function signerCert() internal pure returns (Cert memory) {
        return certOf("signer", "root", SIGNER_KEY, ROOT_KEY, false);
    }

    function pckCert(Machine memory machine) internal pure returns (Cert memory it) {
        it = certOf("platform", "CA", PCK_KEY, CA_KEY, false);
        it.extensions = bytes.concat(it.extensions, sgxExtension(machine));
    }

    function machineOf() internal pure returns (Machine memory) {
        return Machine(5, 10, 0x00906ED50000, 0x0000, "");
    }

    function member(bytes memory id, bytes memory value) internal pure returns (bytes memory) {
        return seq(bytes.concat(tlv(0x06, bytes.concat(SGX_PREFIX, id)), value));
    }

    function sgxExtension(Machine memory m) internal pure returns (bytes memory) {
        return extension(SGX_PREFIX, false, seq(sgxMembers(m)));
    }

    function sgxMembers(Machine memory m) internal pure returns (bytes memory it) {
        bytes memory svns;
        bytes memory cpuSvn;
        for (uint8 i = 1; i <= 16; ++i) {
            svns = bytes.concat(svns, member(bytes.concat(hex"02", bytes1(i)), integer(m.component)));
            cpuSvn = bytes.concat(cpuSvn, bytes1(m.component));
        }
        svns = bytes.concat(svns, member(hex"0211", integer(m.pceSvn)), member(hex"0212", tlv(0x04, cpuSvn)));
        it = bytes.concat(member(hex"01", tlv(0x04, new bytes(16))), member(hex"02", seq(svns)));
        it = bytes.concat(it, member(hex"03", tlv(0x04, abi.encodePacked(m.pceId))));
        it = bytes.concat(it, member(hex"04", tlv(0x04, abi.encodePacked(m.fmspc))), member(hex"05", hex"0a0100"));
        if (m.flags.length != 3) return it;
        bytes memory flags;
        for (uint8 i; i < 3; ++i) {
            flags = bytes.concat(
                flags, member(bytes.concat(hex"07", bytes1(i + 1)), tlv(0x01, abi.encodePacked(m.flags[i])))
            );
        }
        it = bytes.concat(it, member(hex"06", tlv(0x04, new bytes(16))), member(hex"07", seq(flags)));
    }

    function pem(bytes memory der) internal pure returns (bytes memory text) {
        bytes memory letters = bytes(Base64.encode(der));
        text = "-----BEGIN CERTIFICATE-----\n";
        for (uint256 i; i < letters.length; i += 64) {
            uint256 end = i + 64 < letters.length ? i + 64 : letters.length;
            text = bytes.concat(text, cut(letters, i, end), "\n");
        }
        return bytes.concat(text, "-----END CERTIFICATE-----\n");
    }

    function chainOf(bytes memory authority) internal pure returns (bytes memory) {
        return bytes.concat(pem(authority), pem(build(rootCert())));
    }

    // ---- lists ----------------------------------------------------------------------------------------------------

    function list(string memory issuer, uint256 key, bytes memory entries, string memory from, string memory to)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory number = seq(extension(hex"551d14", false, hex"020101"));
        return listWith(issuer, key, entries, bytes.concat(tlv(0x17, bytes(from)), tlv(0x17, bytes(to))), number);
    }

    function listWith(string memory issuer, uint256 key, bytes memory entries, bytes memory times, bytes memory more)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory revoked = entries.length == 0 ? bytes("") : seq(entries);
        return signedDer(seq(bytes.concat(hex"020101", ALGORITHM, name(issuer), times, revoked, tlv(0xa0, more))), key);
    }

    function entry(bytes memory serial) internal pure returns (bytes memory) {
        bytes memory reason = seq(extension(hex"551d15", false, hex"0a0101"));
        return seq(bytes.concat(tlv(0x02, serial), tlv(0x17, "270101000000Z"), reason));
    }

    function goodList(string memory issuer, uint256 key, bytes memory entries) internal pure returns (bytes memory) {
        return list(issuer, key, entries, "270115070000Z", "270214070000Z");
    }

    // ---- statements -----------------------------------------------------------------------------------------------

    function components(string memory svn) internal pure returns (string memory it) {
        for (uint256 i; i < 16; ++i) {
            it = string.concat(it, i == 0 ? "" : ",", '{"svn":', svn, i == 3 ? ',"category":"BIOS","type":"X"}' : "}");
        }
        return string.concat("[", it, "]");
    }

    function level(bool isTdx, string memory svn, string memory tdxSvn, string memory status)
        internal
        pure
        returns (string memory)
    {
        string memory tdx = isTdx ? string.concat(',"tdxtcbcomponents":', components(tdxSvn)) : "";
        return string.concat(
            '{"tcb":{"sgxtcbcomponents":',
            components(svn),
            ',"pcesvn":10',
            tdx,
            '},"tcbDate":"2026-03-13T00:00:00Z","tcbStatus":"',
            status,
            '","advisoryIDs":["INTEL-SA-1","INTEL-SA-2"]}'
        );
    }

    function zeros(uint256 count) internal pure returns (string memory) {
        bytes memory it = new bytes(count);
        for (uint256 i; i < count; ++i) {
            it[i] = "0";
        }
        return string(it);
    }

    function modules() internal pure returns (string memory) {
        string memory one = string.concat(
            '"mrsigner":"', zeros(96), '","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF"'
        );
        return string.concat(
            ',"tdxModule":{',
            one,
            '},"tdxModuleIdentities":[{"id":"TDX_03",',
            one,
            ',"tcbLevels":[{"tcb":{"isvsvn":3},"tcbDate":"2026-03-13T00:00:00Z","tcbStatus":"UpToDate"}]},',
            '{"id":"TDX_01",',
            one,
            ',"tcbLevels":[{"tcb":{"isvsvn":4},"tcbDate":"2026-03-13T00:00:00Z","tcbStatus":"UpToDate"},',
            '{"tcb":{"isvsvn":2},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"OutOfDate"}]}]'
        );
    }

    function tcbInfo(bool isTdx) internal pure returns (string memory) {
        return string.concat(
            '{"id":"',
            isTdx ? "TDX" : "SGX",
            '","version":3,"issueDate":"2027-01-15T07:00:00Z","nextUpdate":"2027-02-14T07:00:00Z",',
            '"fmspc":"00906ED50000","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":17',
            isTdx ? modules() : "",
            ',"tcbLevels":[',
            level(isTdx, "5", "1", "UpToDate"),
            ",",
            level(isTdx, "4", "0", "OutOfDate"),
            "]}"
        );
    }

    function qeIdentity(bool isTdx) internal pure returns (string memory) {
        return string.concat(
            '{"id":"',
            isTdx ? "TD_QE" : "QE",
            '","version":2,"issueDate":"2027-01-15T07:00:00Z","nextUpdate":"2027-02-14T07:00:00Z",',
            '"tcbEvaluationDataNumber":17,"miscselect":"00000000","miscselectMask":"FFFFFFFF",',
            '"attributes":"11000000000000000000000000000000","attributesMask":"FBFFFFFFFFFFFFFF0000000000000000",',
            '"mrsigner":"00000000000000000000000000000000000000000000000000000000000000AA","isvprodid":',
            isTdx ? "2" : "1",
            ',"tcbLevels":[{"tcb":{"isvsvn":8},"tcbDate":"2026-03-13T00:00:00Z","tcbStatus":"UpToDate"},',
            '{"tcb":{"isvsvn":6},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"OutOfDate","advisoryIDs":["X"]}]}'
        );
    }

    function rawSignature(uint256 key, bytes memory message) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = vm.signP256(key, sha256(message));
        return bytes.concat(r, s);
    }

    function signerDigest() internal pure returns (bytes32) {
        return keccak256(build(signerCert()));
    }

    function postTcbInfo(string memory json) internal {
        statements.postTcbInfo(signerDigest(), bytes(json), rawSignature(SIGNER_KEY, bytes(json)));
    }

    function postQeIdentity(string memory json) internal {
        statements.postQeIdentity(signerDigest(), bytes(json), rawSignature(SIGNER_KEY, bytes(json)));
    }

    /// @dev Everything that quotes of both platforms need.
    function deployForged(uint8 relaxations) internal {
        vm.warp(NOW);
        deployDcap(build(rootCert()), relaxations);
        certificates.postRootRevocations(goodList("root", ROOT_KEY, ""));
        bytes32 chain = certificates.postAuthority(chainOf(build(authorityCert())));
        certificates.postRevocations(chain, goodList("CA", CA_KEY, ""));
        certificates.postSigner(build(signerCert()));
        for (uint256 i; i < 2; ++i) {
            postTcbInfo(tcbInfo(i == 1));
            postQeIdentity(qeIdentity(i == 1));
        }
    }

    // ---- quotes ---------------------------------------------------------------------------------------------------

    function report(uint8 flags, bytes32 signer, uint8 product, uint8 svn) internal pure returns (bytes memory) {
        bytes memory attributes = bytes.concat(bytes1(flags), new bytes(15));
        bytes memory head = bytes.concat(new bytes(48), attributes, keccak256("enclave"), new bytes(32), signer);
        return bytes.concat(head, new bytes(96), bytes1(product), hex"00", bytes1(svn), hex"00", new bytes(124));
    }

    /// @dev `version` 3: SGX; 4, 5 and 51: TDX, the last with a report 1.5.
    function specOf(uint256 version, bytes32 reportData) internal pure returns (Spec memory it) {
        bool isTdx = version != 3;
        it.header = bytes.concat(
            bytes1(uint8(version == 51 ? 5 : version)),
            hex"000200",
            isTdx ? bytes4(hex"81000000") : bytes4(0),
            bytes4(0),
            hex"939a7233f79c4ca9940a0db3957f0607",
            new bytes(20)
        );
        if (version == 5) it.header = bytes.concat(it.header, hex"020048020000");
        if (version == 51) it.header = bytes.concat(it.header, hex"030088020000");
        it.body = isTdx ? tdxBody(version == 51) : report(0x05, keccak256("author"), 3, 4);
        put(it.body, isTdx ? 520 : 320, bytes.concat(reportData));
        it.qeReport = report(0x11, bytes32(uint256(0xAA)), isTdx ? 2 : 1, 8);
        it.auth = new bytes(32);
        it.chain = bytes.concat(pem(build(pckCert(machineOf()))), chainOf(build(authorityCert())));
        (it.attestationKey, it.pckKey, it.isVouched) = (ATTESTATION_KEY, PCK_KEY, true);
    }

    function tdxBody(bool is15) internal pure returns (bytes memory) {
        bytes memory svns = bytes.concat(hex"0401", hex"0505050505050505050505050505");
        bytes memory head = bytes.concat(svns, new bytes(104), hex"0000001000000000", new bytes(8));
        bytes memory measured = bytes.concat(keccak256("mrtd"), new bytes(160), keccak256("rtmr0"), new bytes(160));
        return bytes.concat(head, measured, new bytes(is15 ? 128 : 64));
    }

    function assemble(Spec memory it) internal pure returns (bytes memory) {
        bytes memory message = bytes.concat(it.header, it.body);
        bytes memory key = point(it.attestationKey);
        if (it.isVouched) put(it.qeReport, 320, bytes.concat(sha256(bytes.concat(key, it.auth))));
        bytes memory inner =
            bytes.concat(it.qeReport, rawSignature(it.pckKey, it.qeReport), little(it.auth.length, 2), it.auth);
        inner = bytes.concat(inner, hex"0500", little(it.chain.length, 4), it.chain);
        if (it.header[0] != 0x03) inner = bytes.concat(hex"0600", little(inner.length, 4), inner);
        bytes memory tail = bytes.concat(rawSignature(it.attestationKey, message), key, inner);
        return bytes.concat(message, little(tail.length, 4), tail);
    }

    // ---- bytes ----------------------------------------------------------------------------------------------------

    function little(uint256 value, uint256 size) internal pure returns (bytes memory it) {
        it = new bytes(size);
        for (uint256 i; i < size; ++i) {
            it[i] = bytes1(uint8(value >> (8 * i)));
        }
    }

    function put(bytes memory into, uint256 pos, bytes memory value) internal pure {
        for (uint256 i; i < value.length; ++i) {
            into[pos + i] = value[i];
        }
    }

    function cut(bytes memory from, uint256 start, uint256 end) internal pure returns (bytes memory it) {
        it = new bytes(end - start);
        for (uint256 i; i < it.length; ++i) {
            it[i] = from[start + i];
        }
    }

    /// @dev `text` with its one `old` replaced by `fresh`: bytes of other lengths, too.
    function swap(bytes memory text, bytes memory old, bytes memory fresh) internal pure returns (bytes memory) {
        for (uint256 i; i + old.length <= text.length; ++i) {
            if (keccak256(cut(text, i, i + old.length)) == keccak256(old)) {
                return bytes.concat(cut(text, 0, i), fresh, cut(text, i + old.length, text.length));
            }
        }
        revert("nothing to replace");
    }
}
