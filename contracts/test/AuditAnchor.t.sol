// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AuditAnchor} from "../src/AuditAnchor.sol";
import {MerkleLog} from "../src/libraries/MerkleLog.sol";
import {Deployment} from "./Deployment.sol";
import {bound, vm} from "./Vm.sol";

/// @title The library as it is, without the anchor's own checks before it
contract MerkleLogs {
    function requireInclusion(bytes32 leafHash, uint64 index, uint64 size, bytes32[] calldata proof, bytes32 root)
        external
        view
    {
        MerkleLog.requireInclusion(leafHash, index, size, proof, root);
    }

    function requireConsistency(
        uint64 oldSize,
        bytes32 oldRoot,
        uint64 newSize,
        bytes32 newRoot,
        bytes32[] calldata proof
    ) external view {
        MerkleLog.requireConsistency(oldSize, oldRoot, newSize, newRoot, proof);
    }

    function hashNode(bytes32 left, bytes32 right) external view returns (bytes32) {
        return MerkleLog.hashNode(left, right);
    }
}

/// @title A log's head moves only forward, only with its key, only by proof. Proofs: tests/vectors/log_proofs.json
contract AuditAnchorTest is Deployment {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 private constant KEY = uint256(keccak256("anchor key"));
    bytes32 private constant ORIGIN = keccak256("example.org/log");
    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("tests/vectors/log_proofs.json");
    }

    // ---- known answers ----------------------------------------------------------------------------------------

    function test_ConsistencyVectors() public {
        uint256 accepted;
        uint256 i;
        for (; vm.keyExistsJson(json, rowOf(".consistency", i)); ++i) {
            string memory row = rowOf(".consistency", i);
            (uint64 size1, uint64 size2) = (size(row, ".size1"), size(row, ".size2"));
            // A head of the same size is no extension; the RFC calls it consistent, the contract refuses it.
            bool expected = vm.parseJsonBool(json, string.concat(row, ".valid")) && size1 < size2;
            bool isAccepted = tryAnchor(keccak256(bytes(row)), size1, word(row, ".root1"), new bytes32[](0))
                && tryAnchor(keccak256(bytes(row)), size2, word(row, ".root2"), proofOf(row));
            vm.assertEq(isAccepted, expected, row);
            if (isAccepted) ++accepted;
        }
        vm.assertTrue(accepted > 50 && i - accepted > 50, "too few vectors to mean anything");
    }

    function test_InclusionVectors() public {
        uint256 accepted;
        uint256 i;
        for (; vm.keyExistsJson(json, rowOf(".inclusion", i)); ++i) {
            string memory row = rowOf(".inclusion", i);
            bool expected = vm.parseJsonBool(json, string.concat(row, ".valid"));
            bool isAnchored =
                tryAnchor(keccak256(bytes(row)), size(row, ".size"), word(row, ".root"), new bytes32[](0));
            bool isIncluded = isAnchored && isIncludedBy(row);
            vm.assertEq(isIncluded, expected, row);
            if (isIncluded) ++accepted;
        }
        vm.assertTrue(accepted > 50 && i - accepted > 30, "too few vectors to mean anything");
    }

    // ---- the library alone ------------------------------------------------------------------------------------

    /// @dev Every refusal by its own name: an auditor is told what is wrong with a proof.
    function test_WhatIsWrongWithAProof() public {
        MerkleLogs logs = new MerkleLogs();
        bytes32[] memory none = new bytes32[](0);
        bytes32[] memory one = new bytes32[](1);
        one[0] = "right";
        bytes32 root = logs.hashNode("left", "right");
        logs.requireInclusion("left", 0, 2, one, root);
        logs.requireConsistency(1, "left", 2, root, one);
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.IndexOutOfRange.selector, 2, 2));
        logs.requireInclusion("left", 2, 2, one, root);
        vm.expectRevert(MerkleLog.ProofTooShort.selector);
        logs.requireInclusion("left", 0, 2, none, root);
        vm.expectRevert(MerkleLog.ProofTooLong.selector);
        logs.requireInclusion("left", 0, 2, new bytes32[](2), root);
        vm.expectRevert(MerkleLog.ProofTooLong.selector);
        logs.requireInclusion("left", 0, 1, one, root);
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.RootMismatch.selector, root, logs.hashNode("other", "right")));
        logs.requireInclusion("other", 0, 2, one, root);
        vm.expectRevert(MerkleLog.ProofTooShort.selector);
        logs.requireConsistency(1, "left", 2, root, none);
        vm.expectRevert(MerkleLog.ProofTooShort.selector);
        logs.requireConsistency(3, root, 4, root, none);
        // More leaves under the same root: nothing has to be hashed for that.
        vm.expectRevert(MerkleLog.ProofTooShort.selector);
        logs.requireConsistency(2, root, 4, root, none);
        vm.expectRevert(MerkleLog.ProofTooLong.selector);
        logs.requireConsistency(1, "left", 2, root, new bytes32[](2));
    }

    /// @dev The text of the RFC takes anything to be an extension of an empty tree, and every tree one of itself.
    function test_OnlyALargerTreeOfOneThatHasLeavesIsAnExtension() public {
        MerkleLogs logs = new MerkleLogs();
        bytes32[] memory none = new bytes32[](0);
        expectNotIncreasing(0, 1);
        logs.requireConsistency(0, "old", 1, "old", none);
        expectNotIncreasing(2, 2);
        logs.requireConsistency(2, "old", 2, "old", none);
        expectNotIncreasing(4, 2);
        logs.requireConsistency(4, "old", 2, "old", none);
    }

    function expectNotIncreasing(uint64 oldSize, uint64 newSize) private {
        vm.expectRevert(abi.encodeWithSelector(MerkleLog.SizeNotIncreasing.selector, oldSize, newSize));
    }

    // ---- anchoring --------------------------------------------------------------------------------------------

    function test_TheFirstHeadIsTakenOnTheKeysWordAndKept() public {
        bytes32 logId = logIdOf(ORIGIN);
        vm.expectEmit(address(anchors));
        emit AuditAnchor.Anchored(logId, 7, "root");
        anchor(ORIGIN, 7, "root", new bytes32[](0));
        (uint64 gotSize, bytes32 gotRoot) = anchors.latest(logId);
        vm.assertEq(gotSize, 7);
        vm.assertEq(gotRoot, "root");
    }

    function test_TheFirstHeadTakesNoProof() public {
        bytes memory signature = sign(KEY, ORIGIN, 7, "root");
        vm.expectRevert(AuditAnchor.FirstAnchorTakesNoProof.selector);
        anchors.anchor(ORIGIN, vm.addr(KEY), 7, "root", new bytes32[](1), signature);
    }

    function test_AnEmptyTreeIsNoHead() public {
        bytes32 emptyRoot = sha256("");
        bytes memory signature = sign(KEY, ORIGIN, 0, emptyRoot);
        vm.expectRevert(AuditAnchor.EmptyTree.selector);
        anchors.anchor(ORIGIN, vm.addr(KEY), 0, emptyRoot, new bytes32[](0), signature);
    }

    function testFuzz_ALogIsNeverRewound(uint64 oldSize, uint64 newSize, bytes32 root) public {
        oldSize = uint64(bound(oldSize, 1, type(uint64).max));
        newSize = uint64(bound(newSize, 1, oldSize));
        anchor(ORIGIN, oldSize, "root", new bytes32[](0));
        bytes memory signature = sign(KEY, ORIGIN, newSize, root);
        vm.expectRevert(abi.encodeWithSelector(AuditAnchor.SizeNotIncreasing.selector, oldSize, newSize));
        anchors.anchor(ORIGIN, vm.addr(KEY), newSize, root, new bytes32[](0), signature);
    }

    function testFuzz_NoInventedProofIsTaken(uint64 oldSize, uint64 newSize, bytes32[] calldata proof) public {
        oldSize = uint64(bound(oldSize, 1, type(uint64).max - 1));
        newSize = uint64(bound(newSize, oldSize + 1, type(uint64).max));
        anchor(ORIGIN, oldSize, "root", new bytes32[](0));
        vm.assertEq(tryAnchor(ORIGIN, newSize, "another root", proof), false);
        (uint64 gotSize, bytes32 gotRoot) = anchors.latest(logIdOf(ORIGIN));
        vm.assertEq(gotSize, oldSize);
        vm.assertEq(gotRoot, "root");
    }

    function test_LogsAreApart() public {
        anchor(ORIGIN, 7, "root", new bytes32[](0));
        anchor("another origin", 3, "its root", new bytes32[](0));
        // The same origin under another key is another log: nobody can stand in a log's way.
        bytes memory signature = sign(KEY + 1, ORIGIN, 5, "their root");
        anchors.anchor(ORIGIN, vm.addr(KEY + 1), 5, "their root", new bytes32[](0), signature);
        (uint64 gotSize,) = anchors.latest(logIdOf(ORIGIN));
        vm.assertEq(gotSize, 7);
    }

    // ---- the key ----------------------------------------------------------------------------------------------

    function test_EverythingAnchoredIsSigned() public {
        bytes memory signature = sign(KEY, ORIGIN, 7, "root");
        expectBadSignature(ORIGIN, vm.addr(KEY), 8, "root", signature);
        expectBadSignature(ORIGIN, vm.addr(KEY), 7, "toor", signature);
        expectBadSignature("another origin", vm.addr(KEY), 7, "root", signature);
        expectBadSignature(ORIGIN, vm.addr(KEY + 1), 7, "root", signature);
        expectBadSignature(ORIGIN, vm.addr(KEY), 7, "root", "");
        vm.chainId(2);
        expectBadSignature(ORIGIN, vm.addr(KEY), 7, "root", signature);
    }

    function test_EveryBitOfTheSignatureCounts() public {
        bytes memory signature = sign(KEY, ORIGIN, 7, "root");
        for (uint256 bit; bit < 8 * signature.length; ++bit) {
            bytes memory flipped = bytes.concat(signature);
            flipped[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            expectBadSignature(ORIGIN, vm.addr(KEY), 7, "root", flipped);
        }
    }

    function test_TheHighSTwinIsRefused() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, anchors.computeAnchorDigest(logIdOf(ORIGIN), 7, "root"));
        bytes memory twin = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        expectBadSignature(ORIGIN, vm.addr(KEY), 7, "root", twin);
    }

    /// @dev A failed recovery gives the zero address; no log may have it as its key.
    function test_TheZeroKeyOwnsNoLog() public {
        vm.expectRevert(AuditAnchor.ZeroAnchorKey.selector);
        anchors.anchor(ORIGIN, address(0), 7, "root", new bytes32[](0), new bytes(65));
    }

    function test_NothingIsIncludedInALogNeverAnchored() public {
        bytes32 logId = logIdOf(ORIGIN);
        bytes32 emptyRoot = sha256("");
        vm.expectRevert(abi.encodeWithSelector(AuditAnchor.UnknownLog.selector, logId));
        anchors.verifyInclusion(logId, emptyRoot, 0, new bytes32[](0));
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function logIdOf(bytes32 origin) private view returns (bytes32) {
        return anchors.computeLogId(origin, vm.addr(KEY));
    }

    function sign(uint256 key, bytes32 origin, uint64 treeSize, bytes32 root) private view returns (bytes memory) {
        bytes32 logId = anchors.computeLogId(origin, vm.addr(key));
        return signDigest(key, anchors.computeAnchorDigest(logId, treeSize, root));
    }

    function anchor(bytes32 origin, uint64 treeSize, bytes32 root, bytes32[] memory proof) private {
        anchors.anchor(origin, vm.addr(KEY), treeSize, root, proof, sign(KEY, origin, treeSize, root));
    }

    function tryAnchor(bytes32 origin, uint64 treeSize, bytes32 root, bytes32[] memory proof) private returns (bool) {
        bytes memory signature = sign(KEY, origin, treeSize, root);
        try anchors.anchor(origin, vm.addr(KEY), treeSize, root, proof, signature) returns (bytes32) {
            return true;
        } catch (bytes memory reason) {
            vm.assertTrue(reason.length >= 4, "refused without a reason");
            return false;
        }
    }

    function isIncludedBy(string memory row) private view returns (bool) {
        bytes32 logId = logIdOf(keccak256(bytes(row)));
        try anchors.verifyInclusion(logId, word(row, ".leafHash"), size(row, ".index"), proofOf(row)) {
            return true;
        } catch (bytes memory reason) {
            vm.assertTrue(reason.length >= 4, "refused without a reason");
            return false;
        }
    }

    function expectBadSignature(bytes32 origin, address key, uint64 treeSize, bytes32 root, bytes memory signature)
        private
    {
        vm.expectPartialRevert(AuditAnchor.BadAnchorSignature.selector);
        anchors.anchor(origin, key, treeSize, root, new bytes32[](0), signature);
    }

    function rowOf(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]");
    }

    function word(string memory row, string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(row, key));
    }

    function size(string memory row, string memory key) private view returns (uint64) {
        return uint64(vm.parseJsonUint(json, string.concat(row, key)));
    }

    function proofOf(string memory row) private view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, string.concat(row, ".proof"));
    }
}
