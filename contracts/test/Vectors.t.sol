// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AuditAnchor} from "../src/AuditAnchor.sol";
import {Coprocessor} from "../src/Coprocessor.sol";
import {OperatorRegistry} from "../src/OperatorRegistry.sol";
import {Claims} from "../src/libraries/Claims.sol";
import {Policy} from "../src/libraries/Policy.sol";
import {Claim, EvidenceKind, Request} from "../src/libraries/Types.sol";
import {QuorumVerifier} from "../src/verifiers/QuorumVerifier.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Known answers shared with Python: tests/vectors/protocol.json
contract VectorsTest is Deployment {
    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("tests/vectors/protocol.json");
    }

    function test_RequestIds() public {
        uint256 count = countOf(".requests");
        for (uint256 i; i < count; ++i) {
            string memory row = rowOf(".requests", i);
            Coprocessor moved = Coprocessor(moveTo(row, ".coprocessor", address(coprocessor)));
            bytes32 id = moved.computeRequestId(requestOf(row));
            vm.assertEq(id, word(row, ".requestId"), row);
            bytes memory signature = vm.parseJsonBytes(json, string.concat(row, ".signature"));
            vm.assertEq(ECDSA.recover(id, signature), vm.parseJsonAddress(json, string.concat(row, ".signer")));
        }
    }

    function test_ClaimDigestsAndQuorumEvidence() public {
        uint256 count = countOf(".claims");
        for (uint256 i; i < count; ++i) {
            string memory row = rowOf(".claims", i);
            Coprocessor moved = Coprocessor(moveTo(row, ".coprocessor", address(coprocessor)));
            Claim memory claim = Claim(
                word(row, ".requestId"), word(row, ".modelId"), word(row, ".inputDigest"), word(row, ".outputDigest")
            );
            bytes32 digest = moved.computeClaimDigest(claim);
            vm.assertEq(digest, word(row, ".digest"), row);
            requireQuorumEvidence(row, claim, digest);
        }
    }

    function test_ModelIds() public view {
        uint256 count = countOf(".models");
        for (uint256 i; i < count; ++i) {
            string memory row = rowOf(".models", i);
            uint8 kind = uint8(vm.parseJsonUint(json, string.concat(row, ".kind")));
            bytes32[] memory parameters = vm.parseJsonBytes32Array(json, string.concat(row, ".parameters"));
            bytes32 id = Claims.hashModel(kind, word(row, ".manifestDigest"), word(row, ".circuitDigest"), parameters);
            vm.assertEq(id, word(row, ".modelId"), row);
        }
    }

    function test_Parts() public {
        uint256 count = countOf(".parts");
        for (uint256 i; i < count; ++i) {
            string memory row = rowOf(".parts", i);
            bytes memory points = vm.parseJsonBytes(json, string.concat(row, ".points"));
            vm.assertEq(models.storeParameters(points), word(row, ".digest"), row);
            vm.assertEq(models.pointerOf(word(row, ".digest")).codehash, word(row, ".digest"), row);
        }
    }

    /// @dev The double's context is what ProofVerifier must compute too.
    function test_ProofContexts() public view {
        uint256 count = countOf(".contexts");
        for (uint256 i; i < count; ++i) {
            string memory row = rowOf(".contexts", i);
            address beneficiary = vm.parseJsonAddress(json, string.concat(row, ".beneficiary"));
            vm.assertEq(truth.contextOf(word(row, ".requestId"), beneficiary), word(row, ".context"), row);
        }
    }

    function test_Policies() public view {
        uint256 count = countOf(".policies");
        for (uint256 i; i < count; ++i) {
            string memory row = rowOf(".policies", i);
            bytes32 policy = word(row, ".word");
            bool isValid;
            try this.requireWellFormed(policy) {
                isValid = true;
            } catch {}
            vm.assertEq(isValid, vm.parseJsonBool(json, string.concat(row, ".valid")), row);
            if (isValid) requireSameDemands(row, policy);
        }
    }

    function test_Possessions() public {
        uint256 count = countOf(".possessions");
        for (uint256 i; i < count; ++i) {
            string memory row = rowOf(".possessions", i);
            OperatorRegistry moved = OperatorRegistry(moveTo(row, ".registry", address(operators)));
            address signer = vm.parseJsonAddress(json, string.concat(row, ".signer"));
            address operator = vm.parseJsonAddress(json, string.concat(row, ".operator"));
            vm.assertEq(moved.computePossessionDigest(operator, signer), word(row, ".digest"), row);
            bytes memory possession = vm.parseJsonBytes(json, string.concat(row, ".signature"));
            vm.deal(operator, MIN_STAKE_WEI);
            vm.prank(operator);
            moved.register{value: MIN_STAKE_WEI}(uint8(i), signer, possession);
            vm.assertEq(moved.operatorOf(signer), operator);
        }
    }

    function test_Anchors() public {
        uint256 count = countOf(".anchors");
        for (uint256 i; i < count; ++i) {
            string memory row = rowOf(".anchors", i);
            AuditAnchor moved = AuditAnchor(moveTo(row, ".contract", address(anchors)));
            bytes32 originDigest = keccak256(bytes(vm.parseJsonString(json, string.concat(row, ".origin"))));
            address anchorKey = vm.parseJsonAddress(json, string.concat(row, ".anchorKey"));
            uint64 size = uint64(vm.parseJsonUint(json, string.concat(row, ".size")));
            bytes memory signature = vm.parseJsonBytes(json, string.concat(row, ".signature"));
            bytes32 logId = moved.computeLogId(originDigest, anchorKey);
            vm.assertEq(logId, word(row, ".logId"), row);
            vm.assertEq(moved.computeAnchorDigest(logId, size, word(row, ".root")), word(row, ".digest"), row);
            if (size == 0) vm.expectRevert(AuditAnchor.EmptyTree.selector);
            moved.anchor(originDigest, anchorKey, size, word(row, ".root"), new bytes32[](0), signature);
        }
    }

    function requireWellFormed(bytes32 policy) external pure {
        Policy.requireWellFormed(policy);
    }

    // ---- reading rows -----------------------------------------------------------------------------------------

    /// @dev The vector's signers take the vector's seats in a registry of their own; their keys are those of
    ///      make_protocol.py.
    function requireQuorumEvidence(string memory row, Claim memory claim, bytes32 digest) private {
        uint256[] memory indices = vm.parseJsonUintArray(json, string.concat(row, ".indices"));
        address[] memory signers = vm.parseJsonAddressArray(json, string.concat(row, ".signers"));
        operators = deployOperators(address(0));
        quorum = QuorumVerifier(deployShipped("QuorumVerifier", abi.encode(operators)));
        for (uint256 i; i < indices.length; ++i) {
            uint256 key = uint256(keccak256(abi.encodePacked("affidavit test key", uint32(indices[i]))));
            vm.assertEq(vm.addr(key), signers[i]);
            bytes memory possession = signDigest(key, operators.computePossessionDigest(signers[i], signers[i]));
            vm.deal(signers[i], MIN_STAKE_WEI);
            vm.prank(signers[i]);
            operators.register{value: MIN_STAKE_WEI}(uint8(indices[i]), signers[i], possession);
        }
        bytes memory data = vm.parseJsonBytes(json, string.concat(row, ".quorumData"));
        bytes32 policy = quorumPolicy(uint8(indices.length), 0);
        address[] memory paid = quorum.verify(claim, digest, policy, "", "", data);
        vm.assertEq(keccak256(abi.encode(paid)), keccak256(abi.encode(signers)), row);
    }

    function requireSameDemands(string memory row, bytes32 policy) private view {
        uint256 quorumK = vm.parseJsonUint(json, string.concat(row, ".quorum"));
        bool isProof = vm.parseJsonBool(json, string.concat(row, ".proof"));
        bool isEnclave = vm.parseJsonBool(json, string.concat(row, ".enclave"));
        uint256 windowSeconds = vm.parseJsonUint(json, string.concat(row, ".windowSeconds"));
        vm.assertEq(Policy.quorum(policy), quorumK, row);
        vm.assertEq(Policy.windowSeconds(policy), windowSeconds, row);
        EvidenceKind[] memory kinds = Policy.demandedKinds(policy);
        uint256 found;
        if (quorumK != 0) vm.assertTrue(kinds[found++] == EvidenceKind.QUORUM, row);
        if (isProof) vm.assertTrue(kinds[found++] == EvidenceKind.PROOF, row);
        if (isEnclave) vm.assertTrue(kinds[found++] == EvidenceKind.ENCLAVE, row);
        vm.assertEq(kinds.length, found, row);
    }

    /// @dev Puts the contract's code where the row says it is, on the row's chain; EIP712 then uses that domain.
    function moveTo(string memory row, string memory key, address from) private returns (address moved) {
        moved = vm.parseJsonAddress(json, string.concat(row, key));
        vm.chainId(vm.parseJsonUint(json, string.concat(row, ".chainId")));
        vm.etch(moved, from.code);
    }

    function requestOf(string memory row) private view returns (Request memory) {
        return Request({
            requester: vm.parseJsonAddress(json, string.concat(row, ".requester")),
            refundTo: vm.parseJsonAddress(json, string.concat(row, ".refundTo")),
            modelId: word(row, ".modelId"),
            inputDigest: word(row, ".inputDigest"),
            policy: word(row, ".policy"),
            feeWei: vm.parseJsonUint(json, string.concat(row, ".feeWei")),
            callbackGas: uint32(vm.parseJsonUint(json, string.concat(row, ".callbackGas"))),
            deadline: uint64(vm.parseJsonUint(json, string.concat(row, ".deadline"))),
            nonce: vm.parseJsonUint(json, string.concat(row, ".nonce"))
        });
    }

    /// @dev A list of no rows would make its test pass whatever the code does.
    function countOf(string memory list) private view returns (uint256 count) {
        while (vm.keyExistsJson(json, rowOf(list, count))) ++count;
        vm.assertTrue(count != 0, list);
    }

    function rowOf(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]");
    }

    function word(string memory row, string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(row, key));
    }
}
