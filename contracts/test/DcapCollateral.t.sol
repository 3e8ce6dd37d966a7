// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Calendar} from "../src/enclave/Calendar.sol";
import {DcapCollateral} from "../src/enclave/DcapCollateral.sol";
import {JsonCursor} from "../src/enclave/JsonCursor.sol";
import {P256Signature} from "../src/enclave/P256Signature.sol";
import {QeIdentity} from "../src/enclave/QeIdentity.sol";
import {TcbInfo} from "../src/enclave/TcbInfo.sol";
import {IDcapCertificates} from "../src/interfaces/IDcapCertificates.sol";
import {IDcapCollateral} from "../src/interfaces/IDcapCollateral.sol";
import {DcapForger} from "./DcapForger.sol";
import {vm} from "./Vm.sol";

// JSON is full of double quotes.
// solhint-disable quotes

/// @title Intel's statements that anybody posts: signed, current, never older, and in the one form that Intel signs
contract DcapCollateralTest is DcapForger {
    bytes private constant ISSUED = '"issueDate":"2027-01-15T07:00:00Z"';
    bytes private constant LATER = '"issueDate":"2027-01-15T07:30:00Z"';
    bytes private constant EARLIER = '"issueDate":"2027-01-15T06:59:59Z"';
    bytes private constant NUMBER = 'Number":17';

    function setUp() public {
        deployForged(0);
    }

    function test_WhatIsPostedIsKept() public view {
        DcapCollateral.Statement memory it = statements.tcbInfoOf(true, 0x00906ED50000);
        vm.assertEq(uint256(it.issuedAt), 1_799_996_400);
        vm.assertEq(uint256(it.nextUpdate), 1_802_588_400);
        vm.assertEq(uint256(it.evaluation), 17);
        vm.assertEq(it.signer, signerDigest());
        it = statements.qeIdentityOf(false);
        vm.assertEq(uint256(it.issuedAt), 1_799_996_400);
        vm.assertEq(uint256(it.nextUpdate), 1_802_588_400);
        vm.assertEq(uint256(it.evaluation), 17);
        vm.assertEq(it.signer, signerDigest());
        vm.assertTrue(it.data != address(0), "no identity");
    }

    // ---- signed ---------------------------------------------------------------------------------------------------

    function test_AStatementIsSignedByAKnownSigner() public {
        bytes memory json = laterInfo();
        bytes memory signature = rawSignature(SIGNER_KEY, json);
        bytes32 signer = signerDigest();
        vm.expectPartialRevert(IDcapCertificates.CollateralMissing.selector);
        statements.postTcbInfo(keccak256("nobody"), json, signature);
        vm.expectPartialRevert(IDcapCollateral.SignatureLength.selector);
        statements.postTcbInfo(signer, json, bytes.concat(signature, hex"00"));
        bytes memory short = cut(signature, 0, 63);
        vm.expectPartialRevert(IDcapCollateral.SignatureLength.selector);
        statements.postTcbInfo(signer, json, short);
        bytes memory anothers = rawSignature(ROOT_KEY, json);
        vm.expectPartialRevert(P256Signature.SignatureInvalid.selector);
        statements.postTcbInfo(signer, json, anothers);
        bytes memory identity = swap(bytes(qeIdentity(false)), ISSUED, LATER);
        vm.expectPartialRevert(P256Signature.SignatureInvalid.selector);
        statements.postQeIdentity(signer, identity, signature);
        for (uint256 i; i < json.length; i += 31) {
            bytes memory lie = bytes.concat(json);
            lie[i] = bytes1(uint8(lie[i]) ^ 1);
            vm.expectPartialRevert(P256Signature.SignatureInvalid.selector);
            statements.postTcbInfo(signer, lie, signature);
        }
        statements.postTcbInfo(signer, json, signature);
    }

    function test_ARevokedSignersStatementsCountForNothing() public {
        certificates.postRootRevocations(list("root", ROOT_KEY, entry(hex"67"), "270115073000Z", "270214070000Z"));
        expectRevoked();
        statements.requireTcbInfo(false, 0x00906ED50000);
        expectRevoked();
        statements.requireQeIdentity(true);
        bytes memory json = laterInfo();
        bytes memory signature = rawSignature(SIGNER_KEY, json);
        bytes32 signer = signerDigest();
        expectRevoked();
        statements.postTcbInfo(signer, json, signature);
    }

    // ---- current, and never older ---------------------------------------------------------------------------------

    function test_AStatementIsCurrent() public {
        bytes4 why = IDcapCertificates.CollateralNotCurrent.selector;
        refuseJson(swap(bytes(tcbInfo(false)), ISSUED, '"issueDate":"2027-01-15T08:00:01Z"'), why);
        bytes memory until = '"nextUpdate":"2027-01-15T08:00:00Z"';
        refuseJson(swap(laterInfo(), '"nextUpdate":"2027-02-14T07:00:00Z"', until), why);
        postTcbInfo(string(swap(bytes(tcbInfo(false)), ISSUED, '"issueDate":"2027-01-15T08:00:00Z"')));
        (,, uint64 end) = statements.requireTcbInfo(true, 0x00906ED50000);
        vm.assertEq(uint256(end), 1_802_588_400);
        certificates.postRootRevocations(list("root", ROOT_KEY, "", "270115073000Z", "290214070000Z"));
        vm.warp(end - 1);
        statements.requireTcbInfo(true, 0x00906ED50000);
        statements.requireQeIdentity(true);
        vm.warp(end);
        vm.expectPartialRevert(why);
        statements.requireTcbInfo(true, 0x00906ED50000);
        vm.expectPartialRevert(why);
        statements.requireQeIdentity(true);
    }

    function test_AStatementLastsNoLongerThanItsSigner() public {
        certificates.postRootRevocations(list("root", ROOT_KEY, "", "270115073000Z", "270120000000Z"));
        (,, uint64 until) = statements.requireTcbInfo(true, 0x00906ED50000);
        vm.assertEq(uint256(until), 1_800_403_200);
        (, until) = statements.requireQeIdentity(false);
        vm.assertEq(uint256(until), 1_800_403_200);
    }

    function test_WhatWasNeverPostedIsMissing() public {
        vm.expectPartialRevert(IDcapCertificates.CollateralMissing.selector);
        statements.requireTcbInfo(true, 0x00906ED50001);
        DcapCollateral fresh = new DcapCollateral(certificates);
        vm.expectPartialRevert(IDcapCertificates.CollateralMissing.selector);
        fresh.requireQeIdentity(true);
    }

    function test_AStatementIsNeverRolledBack() public {
        bytes4 why = IDcapCertificates.Rollback.selector;
        refuseJson(bytes(tcbInfo(false)), why);
        refuseJson(swap(bytes(tcbInfo(false)), ISSUED, EARLIER), why);
        refuseJson(swap(laterInfo(), NUMBER, 'Number":16'), why);
        refuseJson(swap(swap(bytes(tcbInfo(false)), ISSUED, EARLIER), NUMBER, 'Number":18'), why);
        postTcbInfo(string(swap(bytes(tcbInfo(false)), NUMBER, 'Number":18')));
        refuseJson(laterInfo(), why);
        bytes32 signer = signerDigest();
        bytes memory json = swap(bytes(qeIdentity(true)), ISSUED, EARLIER);
        bytes memory signature = rawSignature(SIGNER_KEY, json);
        vm.expectPartialRevert(why);
        statements.postQeIdentity(signer, json, signature);
        postQeIdentity(string(swap(bytes(qeIdentity(true)), ISSUED, LATER)));
    }

    // ---- one form -------------------------------------------------------------------------------------------------

    function test_TcbInfosHaveOneForm() public {
        bytes4 text = JsonCursor.UnexpectedText.selector;
        refuse("{", "{ ", text);
        refuse('{"id"', '{"id":"SGX","id"', text);
        refuse('"id":"SGX"', '"id":"XGS"', text);
        refuse('"version":3', '"version":2', text);
        refuse('"tcbType":0', '"tcbType":1', text);
        refuse('"tcbType":0', '"tcbType":0,"tcbType":0', text);
        refuse('"pceId":"0000"', '"pceId":"0000","pceId":"0001"', text);
        refuse('"pcesvn":10', '"pcesvn":10,"pcesvn":9', text);
        refuse('"tcbStatus":"UpToDate"', '"tcbStatus":"UpToDate","tcbStatus":"Revoked"', text);
        refuse('{"svn":5},{"svn":5},{"svn":5},{"svn":5,', '{"svn":5},{"svn":5},{"svn":5,', text);
        refuse('{"svn":5},', '{"svn":5},{"svn":5},', text);
        refuse('{"svn":5}', '{"svn":5,"svn":4}', text);
        refuse("]}]}", ']}],"more":1}', text);
        refuse("]}]}", "]}]", text);
        refuse('"tcbLevels":[', '"tcbLevels":[]', text);
        refuseJson(bytes.concat(laterInfo(), " "), TcbInfo.TrailingText.selector);
        refuseJson(bytes.concat(laterInfo(), laterInfo()), TcbInfo.TrailingText.selector);
    }

    /// @dev Each byte of a text changed and signed again. What repeats the ten before it is tried once.
    function test_EveryByteOfATcbInfoCounts() public {
        bytes memory json = laterInfo();
        refuseEveryByte(false, json, json.length);
        postTcbInfo(string(json));
    }

    /// @dev Up to the second level, which is read as the first is.
    function test_EveryByteOfATcbInfoWithModulesCounts() public {
        bytes memory json = swap(bytes(tcbInfo(true)), ISSUED, LATER);
        refuseEveryByte(false, json, json.length - bytes(level(true, "4", "0", "OutOfDate")).length - 2);
        postTcbInfo(string(json));
    }

    function test_EveryByteOfAnIdentityCounts() public {
        for (uint256 i; i < 2; ++i) {
            bytes memory json = swap(bytes(qeIdentity(i == 1)), ISSUED, LATER);
            refuseEveryByte(true, json, json.length);
            postQeIdentity(string(json));
        }
    }

    function test_ValuesHaveOneForm() public {
        refuse('"fmspc":"00906ED50000"', '"fmspc":"00906ed50000"', JsonCursor.HexMalformed.selector);
        refuse('"fmspc":"00906ED50000"', '"fmspc":"00906ED5000"', JsonCursor.HexMalformed.selector);
        refuse('"fmspc":"00906ED50000"', '"fmspc":"00906ED5000000"', JsonCursor.UnexpectedText.selector);
        refuse('"pcesvn":10', '"pcesvn":010', JsonCursor.NumberMalformed.selector);
        refuse('"pcesvn":10', '"pcesvn":65536', JsonCursor.NumberMalformed.selector);
        refuse('"pcesvn":10', '"pcesvn":-1', JsonCursor.NumberMalformed.selector);
        refuse('"pcesvn":10', '"pcesvn":', JsonCursor.NumberMalformed.selector);
        refuse('{"svn":5}', '{"svn":256}', JsonCursor.NumberMalformed.selector);
        refuse(NUMBER, 'Number":4294967296', JsonCursor.NumberMalformed.selector);
        refuse('"tcbStatus":"UpToDate"', '"tcbStatus":"Uptodate"', JsonCursor.StatusUnknown.selector);
        refuse('"category":"BIOS"', '"category":"BI\\"S"', JsonCursor.StringMalformed.selector);
        bytes memory control = bytes.concat('"category":"', hex"00", '"');
        refuse('"category":"BIOS"', control, JsonCursor.StringMalformed.selector);
        refuse('"tcbDate":"2026-03-13T', '"tcbDate":"2026-02-30T', Calendar.DateMalformed.selector);
        refuse('"tcbDate":"2026-03-13T', '"tcbDate":"2026-03-13 ', Calendar.DateMalformed.selector);
        refuse('T00:00:00Z","tcbStatus', 'T00:00:00+","tcbStatus', Calendar.DateMalformed.selector);
    }

    /// @dev The first level that is reached counts: whoever orders them decides. Intel has them descending.
    function test_LevelsDescend() public {
        bytes4 why = TcbInfo.LevelsNotDescending.selector;
        bytes memory first = bytes(level(false, "5", "1", "UpToDate"));
        bytes memory second = bytes(level(false, "4", "0", "OutOfDate"));
        refuseJson(withLevels(false, second, first), why);
        refuseJson(withLevels(false, first, first), why);
        refuseJson(withLevels(false, first, swap(first, '"pcesvn":10', '"pcesvn":11')), why);
        first = bytes(level(true, "5", "1", "UpToDate"));
        refuseJson(withLevels(true, first, bytes(level(true, "5", "2", "UpToDate"))), why);
        refuseJson(withLevels(true, first, first), why);
        postTcbInfo(string(withLevels(true, first, bytes(level(true, "5", "0", "OutOfDate")))));
        first = withLevels(true, first, swap(first, '"pcesvn":10', '"pcesvn":9'));
        postTcbInfo(string(swap(first, NUMBER, 'Number":18')));
    }

    function test_ThereAreNoMoreLevelsThanMakeSense() public {
        bytes4 why = TcbInfo.TooManyLevels.selector;
        refuseIdentity('"tcbLevels":[', bytes.concat('"tcbLevels":[', svnLevels(63)), why);
        bytes memory most = bytes.concat('"tcbLevels":[', svnLevels(62));
        postQeIdentity(string(swap(swap(bytes(qeIdentity(false)), ISSUED, LATER), '"tcbLevels":[', most)));
        bytes memory levels;
        for (uint256 i; i < 63; ++i) {
            levels = bytes.concat(levels, i == 0 ? bytes("") : bytes(","), infoLevel(99 - i));
        }
        refuseJson(withLevels(false, levels, bytes.concat(infoLevel(36), ",", infoLevel(35))), why);
        postTcbInfo(string(withLevels(false, levels, infoLevel(36))));
    }

    function test_IdentitiesHaveOneForm() public {
        bytes4 text = JsonCursor.UnexpectedText.selector;
        refuseIdentity('{"id"', '{"id":"QE","id"', text);
        refuseIdentity('"version":2', '"version":3', text);
        refuseIdentity('"isvprodid":1', '"isvprodid":1,"isvprodid":2', text);
        refuseIdentity('"isvsvn":8', '"isvsvn":8,"isvsvn":1', text);
        refuseIdentity('"isvsvn":8', '"isvsvn":6', TcbInfo.LevelsNotDescending.selector);
        refuseIdentity('"isvsvn":8', '"isvsvn":65536', JsonCursor.NumberMalformed.selector);
        refuseIdentity('["X"]}]}', '["X"]}]} ', QeIdentity.TrailingText.selector);
        refuseIdentity('["X"]', "[]", text);
        // A TCB info is no identity, nor the other way about.
        bytes memory json = laterInfo();
        bytes memory signature = rawSignature(SIGNER_KEY, json);
        bytes32 signer = signerDigest();
        vm.expectPartialRevert(text);
        statements.postQeIdentity(signer, json, signature);
        refuseJson(bytes(qeIdentity(false)), text);
    }

    // ---- inside ---------------------------------------------------------------------------------------------------

    function laterInfo() private pure returns (bytes memory) {
        return swap(bytes(tcbInfo(false)), ISSUED, LATER);
    }

    /// @dev The later info, with these two levels instead of its own, which end it.
    function withLevels(bool isTdx, bytes memory first, bytes memory second) private pure returns (bytes memory) {
        bytes memory json = swap(bytes(tcbInfo(isTdx)), ISSUED, LATER);
        uint256 own = bytes(level(isTdx, "5", "1", "UpToDate")).length;
        own += 1 + bytes(level(isTdx, "4", "0", "OutOfDate")).length + 2;
        return bytes.concat(cut(json, 0, json.length - own), first, ",", second, "]}");
    }

    function svnLevels(uint256 count) private pure returns (bytes memory levels) {
        for (uint256 i; i < count; ++i) {
            bytes memory one = bytes.concat('{"tcb":{"isvsvn":', bytes(vm.toString(99 - i)), "},");
            levels = bytes.concat(levels, one, '"tcbDate":"2026-03-13T00:00:00Z","tcbStatus":"UpToDate"},');
        }
    }

    function infoLevel(uint256 svn) private pure returns (bytes memory) {
        return bytes(level(false, vm.toString(svn), "0", "UpToDate"));
    }

    function refuseEveryByte(bool isIdentity, bytes memory json, uint256 end) private {
        bytes32 signer = signerDigest();
        bytes4 how = isIdentity ? DcapCollateral.postQeIdentity.selector : DcapCollateral.postTcbInfo.selector;
        for (uint256 i; i < end; ++i) {
            if (i > 20 && tenAt(json, i - 9) == tenAt(json, i - 19)) continue;
            bytes1 kept = json[i];
            json[i] = 0x7f;
            bytes memory signature = rawSignature(SIGNER_KEY, json);
            (bool isTaken,) = address(statements).call(abi.encodeWithSelector(how, signer, json, signature));
            vm.assertTrue(!isTaken, vm.toString(i));
            json[i] = kept;
        }
    }

    function tenAt(bytes memory text, uint256 pos) private pure returns (bytes10 ten) {
        assembly ("memory-safe") {
            ten := and(mload(add(add(text, 0x20), pos)), shl(176, sub(shl(80, 1), 1)))
        }
    }

    function refuse(bytes memory old, bytes memory fresh, bytes4 why) private {
        refuseJson(swap(laterInfo(), old, fresh), why);
    }

    function refuseJson(bytes memory json, bytes4 why) private {
        bytes memory signature = rawSignature(SIGNER_KEY, json);
        bytes32 signer = signerDigest();
        vm.expectPartialRevert(why);
        statements.postTcbInfo(signer, json, signature);
    }

    function refuseIdentity(bytes memory old, bytes memory fresh, bytes4 why) private {
        bytes memory json = swap(swap(bytes(qeIdentity(false)), ISSUED, LATER), old, fresh);
        bytes memory signature = rawSignature(SIGNER_KEY, json);
        bytes32 signer = signerDigest();
        vm.expectPartialRevert(why);
        statements.postQeIdentity(signer, json, signature);
    }

    function expectRevoked() private {
        vm.expectRevert(
            abi.encodeWithSelector(IDcapCertificates.Revoked.selector, bytes32("signer"), uint160(SIGNER_KEY))
        );
    }
}
