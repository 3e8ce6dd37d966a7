// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim, EvidenceKind} from "../src/libraries/Types.sol";
import {Linears} from "../src/libraries/proof/Linears.sol";
import {Parameters} from "../src/libraries/proof/Parameters.sol";
import {Precompiles} from "../src/libraries/proof/Precompiles.sol";
import {Proofs} from "../src/libraries/proof/Proofs.sol";
import {Rows} from "../src/libraries/proof/Rows.sol";
import {Words} from "../src/libraries/proof/Words.sol";
import {CircuitReader} from "../src/verifiers/CircuitReader.sol";
import {ProofVerifier} from "../src/verifiers/ProofVerifier.sol";
import {ProofFixture, TellingVerifier, Vector} from "./ProofFixture.sol";
import {Vm, vm} from "./Vm.sol";

/// @title Everything that is not the proof is refused
contract ProofMutationsTest is ProofFixture {
    uint256 private constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;
    Vector private v;
    TellingVerifier private verifier;
    string private json;

    function setUp() public {
        use("zoo");
    }

    function use(string memory name) private {
        json = vm.readFile(string.concat("tests/vectors/proofs/", name, ".json"));
        v = loadVector(name);
        verifier = prepare(v);
    }

    // ---- the proof's bytes --------------------------------------------------------------------------------------

    function test_EveryFieldCounts() public view {
        uint256 fields = countFields();
        for (uint256 i; i < fields; ++i) {
            (uint256 offset, uint256 width, uint256 count) = fieldAt(i);
            if (count == 0) continue;
            requireRefused(flip(offset + width - 1), i);
            requireRefused(flip(offset + width * count - 1), i);
            requireRefused(flip(offset + width * (count / 2) + width / 2 - 1), i);
        }
    }

    function test_EveryFieldCountsInOtherSetups() public {
        use("zoo-chunks-of-32768");
        test_EveryFieldCounts();
    }

    function test_EveryPointOfACommittedInputCounts() public {
        use("committed-2-100-chunks-of-32");
        test_EveryFieldCounts();
        test_EveryByteOfTheDescriptor();
        use("committed-3-5-7-chunks-of-32");
        uint256 length = v.input.length;
        expectStatement(
            abi.encodeWithSelector(ProofVerifier.TensorLength.selector, bytes32("input"), length, length + 96),
            bytes.concat(v.input, new bytes(96)),
            v.output
        );
        for (uint256 i; i < length; i += 96) {
            bytes memory input = v.input;
            for (uint256 j; j < 96; ++j) {
                input[i + j] = 0;
            }
            vm.expectRevert();
            verifier.verifyProof(v.modelId, v.context, input, v.output, v.proof);
        }
    }

    function test_NeighboursCannotBeSwapped() public view {
        uint256 fields = countFields();
        for (uint256 i; i < fields; ++i) {
            (uint256 offset, uint256 width, uint256 count) = fieldAt(i);
            if (count < 2) continue;
            bytes memory proof = v.proof;
            for (uint256 j; j < width; ++j) {
                (proof[offset + j], proof[offset + width + j]) = (proof[offset + width + j], proof[offset + j]);
            }
            if (keccak256(proof) != keccak256(v.proof)) requireRefused(proof, i);
        }
    }

    function test_LengthAndVersion() public {
        uint256 length = v.proof.length;
        bytes memory longer = bytes.concat(v.proof, hex"00");
        expect(abi.encodeWithSelector(Proofs.ProofLength.selector, length, length + 1), longer);
        bytes memory shorter = v.proof;
        assembly {
            mstore(shorter, sub(length, 1))
        }
        expect(abi.encodeWithSelector(Proofs.ProofLength.selector, length, length - 1), shorter);
        expect(abi.encodeWithSelector(Proofs.ProofLength.selector, length, 0), "");
        bytes memory other = v.proof;
        other[3] = "1";
        expect(abi.encodeWithSelector(Proofs.ProofVersion.selector, bytes4("AFP1")), other);
    }

    /// @dev Every scalar with r added to it, where that still fits: the same value in another encoding.
    function test_ScalarsAreReduced() public {
        uint256 fields = countFields();
        for (uint256 i; i < fields; ++i) {
            (uint256 offset, uint256 width, uint256 count) = fieldAt(i);
            for (uint256 j; width == 32 && j < count; ++j) {
                uint256 place = 32 + offset + 32 * j;
                bytes memory proof = v.proof;
                assembly {
                    mstore(add(proof, place), add(mload(add(proof, place)), R))
                }
                expect(abi.encodeWithSelector(Proofs.ScalarNotReduced.selector), proof);
            }
        }
    }

    function test_PointsAtInfinityAndOffTheCurve() public view {
        uint256 fields = countFields();
        for (uint256 i; i < fields; ++i) {
            (uint256 offset, uint256 width,) = fieldAt(i);
            if (width != 96) continue;
            bytes memory proof = v.proof;
            for (uint256 j; j < 96; ++j) {
                proof[offset + j] = 0;
            }
            requireRefused(proof, i);
            proof[offset + 95] = hex"01";
            requireRefused(proof, i);
        }
    }

    // ---- the steps name themselves ------------------------------------------------------------------------------

    function test_WhatWasRefused() public {
        expect(abi.encodeWithSelector(Rows.RowsAndTable.selector), flip(endOf("totals")));
        expect(abi.encodeWithSelector(Rows.RowsAndTable.selector), flip(endOf("row_rounds")));
        expect(abi.encodeWithSelector(Linears.LinearLayers.selector), flip(endOf("rest")));
        expect(abi.encodeWithSelector(Linears.LinearLayers.selector), flip(endOf("operands")));
        expect(abi.encodeWithSelector(Linears.IndexMaps.selector), flip(endOf("mapped")));
        // A point off the curve: the multiplication refuses it.
        expect(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 12, 0), flip(endOf("parts")));
        // A is added to what it gives.
        expect(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 11, 0), flip(endOf("parts") - 96));
        // The quotient is checked apart.
        expect(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 11, 0), flip(endOf("quotient")));
    }

    /// @dev A true proof but for a summand of A whose order divides the cofactor. Addition does not look for it, and
    ///      no pairing sees it: what refuses it is that point evaluation, or the pairing's precompile, wants the
    ///      whole in the group.
    function test_APartOutsideTheGroup() public {
        use("outside");
        expect(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 10, 0), v.proof);
        use("outside-chunks-of-32");
        expect(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 15, 0), v.proof);
    }

    /// @dev Nobody can make commitments that cancel out before they know the challenges; here the addition is told to
    ///      say that they do.
    function test_ACommitmentThatCancelsOut() public {
        requireInfiniteRefused();
        use("zoo-chunks-of-32");
        requireInfiniteRefused();
    }

    function requireInfiniteRefused() private {
        vm.mockCall(address(0x0b), "", new bytes(128));
        expect(abi.encodeWithSelector(Precompiles.InfiniteCommitment.selector), v.proof);
        vm.clearMockedCalls();
        verifier.verifyProof(v.modelId, v.context, v.input, v.output, v.proof);
    }

    // ---- the statement --------------------------------------------------------------------------------------------

    function test_AnotherContext() public {
        vm.expectRevert();
        verifier.verifyProof(v.modelId, keccak256("another"), v.input, v.output, v.proof);
    }

    function test_AnotherInputOrOutput() public {
        bytes memory input = v.input;
        for (uint256 i = 1; i < input.length; i += 7) {
            input[i] = input[i] ^ 0x01;
            vm.expectRevert();
            verifier.verifyProof(v.modelId, v.context, input, v.output, v.proof);
            input[i] = input[i] ^ 0x01;
        }
        bytes memory output = v.output;
        for (uint256 i = 1; i < output.length; i += 2) {
            output[i] = output[i] ^ 0x01;
            vm.expectRevert();
            verifier.verifyProof(v.modelId, v.context, v.input, output, v.proof);
            output[i] = output[i] ^ 0x01;
        }
    }

    function test_LengthsAndRanges() public {
        uint256 length = v.input.length;
        expectStatement(
            abi.encodeWithSelector(ProofVerifier.TensorLength.selector, bytes32("input"), length, length + 2),
            bytes.concat(v.input, hex"0000"),
            v.output
        );
        expectStatement(
            abi.encodeWithSelector(ProofVerifier.TensorLength.selector, bytes32("output"), v.output.length, 0),
            v.input,
            ""
        );
        for (uint256 i; i < length; i += 2) {
            requireOutOfRange("input", i, 0x0800);
            requireOutOfRange("input", i, 0xf7ff);
            requireOutOfRange("input", i, 0x8000);
        }
        for (uint256 i; i < v.output.length; i += 2) {
            requireOutOfRange("output", i, 0x0800);
            requireOutOfRange("output", i, 0xf7ff);
        }
    }

    function requireOutOfRange(bytes32 name, uint256 place, uint16 value) private {
        bytes memory input = v.input;
        bytes memory output = v.output;
        bytes memory changed = name == "input" ? input : output;
        changed[place] = bytes1(uint8(value >> 8));
        changed[place + 1] = bytes1(uint8(value));
        expectStatement(abi.encodeWithSelector(ProofVerifier.TensorRange.selector, name), input, output);
    }

    function test_AnotherModel() public {
        bytes32 twin = register(v.circuit, v.parts, "another manifest");
        vm.expectRevert();
        verifier.verifyProof(twin, v.context, v.input, v.output, v.proof);
        bytes[] memory parts = v.parts;
        bytes memory part = parts[0];
        for (uint256 i; i < 96; ++i) {
            (part[i], part[96 + i]) = (part[96 + i], part[i]);
        }
        bytes32 other = register(v.circuit, parts, v.manifest);
        vm.expectRevert();
        verifier.verifyProof(other, v.context, v.input, v.output, v.proof);
    }

    function test_NumberOfCommitments() public {
        bytes[] memory parts = v.parts;
        uint256 points = parts[0].length / 96;
        parts[0] = bytes.concat(parts[0], new bytes(96));
        bytes32 longer = register(v.circuit, parts, v.manifest);
        vm.expectRevert(abi.encodeWithSelector(Parameters.ParameterCount.selector, points, points + 1));
        verifier.verifyProof(longer, v.context, v.input, v.output, v.proof);
        bytes memory part = v.parts[0];
        assembly {
            mstore(part, sub(mload(part), 96))
        }
        parts[0] = part;
        bytes32 shorter = register(v.circuit, parts, v.manifest);
        vm.expectRevert(abi.encodeWithSelector(Parameters.ParameterCount.selector, points, points - 1));
        verifier.verifyProof(shorter, v.context, v.input, v.output, v.proof);
        vm.assertTrue(points > 1, "a model of several points");
        // The registry keeps whole points alone. If it did not, what is left over would still be none.
        address stored = models.parametersOf(v.modelId)[0];
        vm.etch(stored, bytes.concat(stored.code, hex"00"));
        vm.expectRevert(abi.encodeWithSelector(Parameters.ParameterCount.selector, points, points));
        verifier.verifyProof(v.modelId, v.context, v.input, v.output, v.proof);
    }

    function test_UnknownModel() public {
        vm.expectRevert();
        verifier.verifyProof(keccak256("nothing"), v.context, v.input, v.output, v.proof);
        bytes32 opaque = models.register(2, keccak256("manifest"), "", new bytes32[](0), "");
        vm.expectRevert(abi.encodeWithSelector(CircuitReader.NoCircuit.selector, opaque));
        verifier.verifyProof(opaque, v.context, v.input, v.output, v.proof);
    }

    /// @dev A bit of every byte of the descriptor: it is another network's, and mostly none's.
    function test_EveryByteOfTheDescriptor() public {
        uint256 malformed;
        for (uint256 i; i < v.circuit.length; ++i) {
            if (this.refuseDescriptor(i) == Words.MalformedDescriptor.selector) ++malformed;
        }
        vm.assertTrue(malformed > v.circuit.length * 3 / 4, "most of them break a rule");
    }

    /// @dev In a call of its own, so that its memory is given back.
    function refuseDescriptor(uint256 place) external returns (bytes4) {
        bytes memory circuit = v.circuit;
        circuit[place] = circuit[place] ^ bytes1(uint8(1 << (place % 8)));
        vm.etch(models.circuitPointerOf(v.modelId), bytes.concat(hex"00", circuit));
        (bool ok, bytes memory reason) = address(verifier)
            .staticcall(abi.encodeCall(verifier.verifyProof, (v.modelId, v.context, v.input, v.output, v.proof)));
        // Exponents are for people, and numbers no protocol reads: all others change what is proven.
        vm.assertTrue(!ok || isExponent(place), vm.toString(place));
        return bytes4(reason);
    }

    function isExponent(uint256 place) private view returns (bool) {
        uint256 end = v.circuit.length;
        return (place >= 36 && place < 40) || (place >= end - 56 && place < end - 52);
    }

    // ---- prepared models ------------------------------------------------------------------------------------------

    function test_PreparedModelsAreTheSame() public {
        vm.recordLogs();
        address image = verifier.prepare(v.modelId);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "told once");
        vm.assertEq(logs[0].topics[0], ProofVerifier.ModelPrepared.selector);
        vm.assertEq(logs[0].topics[1], v.modelId);
        vm.assertEq(logs[0].data, abi.encode(image));
        vm.assertEq(verifier.prepare(v.modelId), image);
        vm.assertEq(vm.getRecordedLogs().length, 0, "and not again");
        verifier.verifyProof(v.modelId, v.context, v.input, v.output, v.proof);
        test_EveryFieldCounts();
    }

    function test_NothingIsPreparedThatIsNotAModel() public {
        vm.expectRevert();
        verifier.prepare(keccak256("nothing"));
        bytes memory circuit = bytes.concat(v.circuit, new bytes(32));
        bytes32 id = register(circuit, v.parts, v.manifest);
        vm.expectPartialRevert(Words.MalformedDescriptor.selector);
        verifier.prepare(id);
    }

    // ---- evidence ---------------------------------------------------------------------------------------------------

    function test_EvidenceNamesTheVerifier() public view {
        vm.assertTrue(verifier.kind() == EvidenceKind.PROOF, "kind");
        vm.assertEq(bytes32(verifier.selector()), bytes32(bytes4(keccak256("affidavit.verifier.proof.v1"))));
    }

    function test_EvidenceIsBoundToTheClaim() public {
        Claim memory claim = Claim(keccak256("request"), v.modelId, keccak256(v.input), keccak256(v.output));
        bytes memory data = bytes.concat(bytes20(address(this)), v.proof);
        vm.expectRevert(abi.encodeWithSelector(ProofVerifier.EvidenceTooShort.selector, 20, 19));
        verifier.verify(claim, 0, 0, v.input, v.output, new bytes(19));
        vm.expectRevert(abi.encodeWithSelector(Proofs.ProofLength.selector, v.proof.length, 0));
        verifier.verify(claim, 0, 0, v.input, v.output, new bytes(20));
        vm.expectRevert(abi.encodeWithSelector(ProofVerifier.InputMismatch.selector, claim.inputDigest, keccak256("")));
        verifier.verify(claim, 0, 0, "", v.output, data);
        vm.expectRevert(
            abi.encodeWithSelector(ProofVerifier.OutputMismatch.selector, claim.outputDigest, keccak256("x"))
        );
        verifier.verify(claim, 0, 0, v.input, "x", data);
        // The proof is for another context than this request and beneficiary.
        vm.expectRevert(abi.encodeWithSelector(Rows.RowsAndTable.selector));
        verifier.verify(claim, 0, 0, v.input, v.output, data);
    }

    function test_EvidenceIsAccepted() public {
        string memory name = "mlp-evidence";
        Vector memory e = loadVector(name);
        TellingVerifier own = prepare(e);
        bytes32 requestId = keccak256("request");
        address beneficiary = address(0xBEEF);
        vm.assertEq(e.context, keccak256(abi.encode(requestId, beneficiary)));
        Claim memory claim = Claim(requestId, e.modelId, keccak256(e.input), keccak256(e.output));
        address[] memory paid = own.verify(claim, 0, 0, e.input, e.output, bytes.concat(bytes20(beneficiary), e.proof));
        vm.assertEq(paid.length, 1);
        vm.assertEq(paid[0], beneficiary);
        // Nobody else is paid for it.
        vm.expectRevert(abi.encodeWithSelector(Rows.RowsAndTable.selector));
        own.verify(claim, 0, 0, e.input, e.output, bytes.concat(bytes20(address(this)), e.proof));
    }

    // ---- setups -----------------------------------------------------------------------------------------------------

    function test_SetupsThatDoNotExist() public {
        requireUnknownSetup(0, 0);
        requireUnknownSetup(11, 0);
        requireUnknownSetup(13, 0);
        requireUnknownSetup(12, 255);
        requireUnknownSetup(15, 257);
        requireUnknownSetup(0, 256);
        requireUnknownSetup(21, 256);
    }

    function requireUnknownSetup(uint256 chunkBits, uint256 tauBytes) private {
        (address deployed, bytes memory reason) =
            deploy("ProofVerifier.sol:ProofVerifier", chunkBits, new bytes(tauBytes));
        vm.assertEq(deployed, address(0));
        bytes memory expected = abi.encodeWithSelector(ProofVerifier.UnknownSetup.selector, chunkBits, tauBytes);
        vm.assertEq(keccak256(reason), keccak256(expected));
    }

    function test_AnotherSetup() public {
        bytes memory tau = loadVector("zoo-chunks-of-32").tau;
        (address other,) = deploy("ProofVerifier.sol:ProofVerifier", 12, tau);
        vm.expectRevert(abi.encodeWithSelector(ProofVerifier.WrongOpening.selector));
        ProofVerifier(other).verifyProof(v.modelId, v.context, v.input, v.output, v.proof);
    }

    // ---- helpers of these tests ---------------------------------------------------------------------------------

    function countFields() private view returns (uint256 count) {
        while (vm.keyExistsJson(json, fieldName(count, ".offset"))) ++count;
    }

    function fieldName(uint256 i, string memory key) private pure returns (string memory) {
        return string.concat(".fields[", vm.toString(i), "]", key);
    }

    function fieldAt(uint256 i) private view returns (uint256 offset, uint256 width, uint256 count) {
        offset = vm.parseJsonUint(json, fieldName(i, ".offset"));
        width = vm.parseJsonUint(json, fieldName(i, ".width"));
        count = vm.parseJsonUint(json, fieldName(i, ".count"));
    }

    /// @dev The last byte of a field.
    function endOf(string memory name) private view returns (uint256) {
        uint256 i;
        while (keccak256(bytes(vm.parseJsonString(json, fieldName(i, ".name")))) != keccak256(bytes(name))) ++i;
        (uint256 offset, uint256 width, uint256 count) = fieldAt(i);
        return offset + width * count - 1;
    }

    function flip(uint256 place) private view returns (bytes memory proof) {
        proof = v.proof;
        proof[place] = proof[place] ^ 0x01;
    }

    function requireRefused(bytes memory proof, uint256 field) private view {
        (bool ok, bytes memory reason) = address(verifier)
            .staticcall(abi.encodeCall(verifier.verifyProof, (v.modelId, v.context, v.input, v.output, proof)));
        vm.assertTrue(!ok, vm.toString(field));
        vm.assertTrue(reason.length >= 4, "a named reason");
    }

    function expect(bytes memory reason, bytes memory proof) private {
        vm.expectRevert(reason);
        verifier.verifyProof(v.modelId, v.context, v.input, v.output, proof);
    }

    function expectStatement(bytes memory reason, bytes memory input, bytes memory output) private {
        vm.expectRevert(reason);
        verifier.verifyProof(v.modelId, v.context, input, output, v.proof);
    }
}
